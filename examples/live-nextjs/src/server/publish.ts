import 'server-only'

/**
 * Says something in a channel, as the application's server.
 *
 * @param key the same key again says nothing new: a browser may repeat what it does not know to have arrived
 */
export async function publish(channel: string, name: string, data: object, key?: string): Promise<void> {
  const response = await fetch(`${process.env.CLERK_API_URL}/v1/channels/${encodeURIComponent(channel)}/messages`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${process.env.CLERK_SECRET_KEY}`,
      'content-type': 'application/json',
      ...(key && { 'idempotency-key': key }),
    },
    body: JSON.stringify({ name, data }),
  })
  if (!response.ok) throw new Error(`Usher refused a message with status ${response.status}.`)
}
