import { sql } from 'drizzle-orm'
import { transaction } from '../../apps/server/src/database/index.ts'
import { newId } from '../../apps/server/src/kernel/ids.ts'
import type { TestInstance } from '../../apps/server/src/testing/server.ts'
import { until } from './support.ts'

export type Text = { t: string; [key: string]: unknown }

/** A socket that names a subprotocol: binary frames and text frames apart. */
export function named(
  url: string,
  options: { headers?: Record<string, string>; token?: string; protocol?: string } = {},
) {
  const { headers, token, protocol = 'usher.v1' } = options
  const bearer = token === undefined ? [] : [`bearer.${Buffer.from(token).toString('base64url')}`]
  const socket = new WebSocket(url, { headers, protocols: [protocol, ...bearer] } as never)
  socket.binaryType = 'arraybuffer'
  const texts: Text[] = []
  const frames: Uint8Array[] = []
  socket.onmessage = ({ data }) => {
    if (typeof data === 'string') texts.push(JSON.parse(data))
    else frames.push(new Uint8Array(data))
  }
  let closing: { code: number; reason: string } | undefined
  const opened = new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve()
    socket.onerror = () => reject(new Error('the socket did not open'))
  })
  opened.catch(() => {})
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onclose = ({ code, reason }) => {
      closing = { code, reason }
      resolve(closing)
    }
  })
  return {
    socket,
    texts,
    frames,
    opened,
    closed,
    /** What it was closed with, if it was. */
    get closing() {
      return closing
    },
    say: (frame: Text) => socket.send(JSON.stringify(frame)),
    /** The next text frame of a kind. */
    heard: async (t: string, ms = 10_000): Promise<Text> => {
      await until(() => texts.some((frame) => frame.t === t), `told "${t}"`, ms)
      return texts.splice(
        texts.findIndex((frame) => frame.t === t),
        1,
      )[0] as Text
    },
    [Symbol.dispose]: () => socket.close(),
  }
}

/** Somebody in an instance, without a session. */
export async function somebody(t: TestInstance): Promise<string> {
  const userId = newId('user')
  await transaction(t.ctx(), ({ db, instance }) =>
    db.execute(
      sql`insert into users (id, instance_id, created_at, updated_at) values (${userId}, ${instance.id}, now(), now())`,
    ),
  )
  return userId
}
