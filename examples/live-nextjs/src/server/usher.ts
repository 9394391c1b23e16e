import 'server-only'
import { createUsherServer } from '@usher/nextjs/realtime'

/** The server API of Usher, for what the SDK has no words for. */
export const usher = createUsherServer({
  secretKey: process.env.CLERK_SECRET_KEY ?? '',
  apiUrl: process.env.CLERK_API_URL ?? '',
})

const names = new Map<string, { name: string; until: number }>()

/** What others call a person. The server's word, not the browser's; kept for a minute. */
export async function nameOf(userId: string): Promise<string> {
  const known = names.get(userId)
  if (known && known.until > Date.now()) return known.name
  type User = { first_name: string | null; last_name: string | null; email_addresses: { email_address: string }[] }
  const user = await usher.get<User>(`/users/${userId}`)
  const full = [user?.first_name, user?.last_name].filter(Boolean).join(' ')
  const name = full || user?.email_addresses[0]?.email_address || 'Somebody'
  names.set(userId, { name, until: Date.now() + 60_000 })
  return name
}
