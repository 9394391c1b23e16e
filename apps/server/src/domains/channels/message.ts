/** Who sent a message. `user` is null for the application's server, `conn` for a request. */
export type Sender = { user: string | null; conn: string | null }

/** A message in its channel's order. `offset` is 0 where a channel keeps nothing. */
export type Message = {
  offset: number
  name: string
  /** JSON, as the sender wrote it. */
  payload: string
  from: Sender
  /** Milliseconds since 1970. */
  at: number
}

/** A message as clients get it, without braces: encoded once, whatever it is sent in. */
export function encodeBody({ offset, name, payload, from, at }: Message): string {
  return `"offset":${offset},"name":${JSON.stringify(name)},"data":${payload},"from":${JSON.stringify(from)},"at":${at}`
}

/**
 * A live or recovered message. The first of a history says which history begins: whoever subscribed before there was
 * one could not know.
 */
export function messageFrame(channel: string, epoch: string, offset: number, body: string): string {
  const begins = offset === 1 ? `"epoch":${JSON.stringify(epoch)},` : ''
  return `{"t":"msg","ch":${JSON.stringify(channel)},${begins}${body}}`
}
