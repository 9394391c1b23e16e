import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import type { PreparedUser } from './prepare-user.ts'

export type Claim = { key: string; what: string }

/** What may be one person's only. Unproven addresses and numbers block nobody. */
export function claimsOf(user: PreparedUser): Claim[] {
  const claims: Claim[] = []
  for (const { verifiedAt, emailAddress } of user.emailAddresses)
    if (verifiedAt) claims.push({ key: `e:${emailAddress}`, what: 'the email address' })
  for (const { verifiedAt, phoneNumber } of user.phoneNumbers)
    if (verifiedAt) claims.push({ key: `p:${phoneNumber}`, what: 'the phone number' })
  for (const account of user.externalAccounts) {
    const provider = plainProvider(account.provider)
    claims.push({ key: `a:${provider}:${account.provider_user_id}`, what: `the account at ${provider}` })
  }
  return claims
}

/** The server API writes `oauth_google` where the table has `google`. */
export const plainProvider = (provider: string) => provider.replace(/^oauth_/, '')

/** Those of the claims that somebody has already. */
export async function findTaken(tx: Tx, claims: readonly Claim[]): Promise<Set<string>> {
  const of = (kind: string) =>
    JSON.stringify(claims.filter(({ key }) => key.startsWith(kind)).map(({ key }) => key.slice(kind.length)))
  const rows = (await tx.db.execute(sql`
    select 'e:' || email_address as key from email_addresses where verified_at is not null
      and email_address = any (array(select json_array_elements_text(${of('e:')}::text::json)))
    union all
    select 'p:' || phone_number from phone_numbers where verified_at is not null
      and phone_number = any (array(select json_array_elements_text(${of('p:')}::text::json)))
    union all
    select 'a:' || a.provider || ':' || a.provider_user_id from external_accounts a
      join (select split_part(c, ':', 1) as provider, substr(c, strpos(c, ':') + 1) as id
        from json_array_elements_text(${of('a:')}::text::json) c) given
      on a.provider = given.provider and a.provider_user_id = given.id`)) as unknown as { key: string }[]
  return new Set(rows.map((row) => row.key))
}

/** Why users were not inserted: what of theirs is unique in the table of users. One reason each, in their order. */
export async function explainClashes(tx: Tx, lost: readonly PreparedUser[]): Promise<string[]> {
  if (lost.length === 0) return []
  const externalIds = JSON.stringify(lost.map(({ row }) => row.externalId).filter((id) => id !== null))
  const ids = JSON.stringify(lost.map(({ id }) => id))
  const rows = (await tx.db.execute(sql`
    select external_id as value from users
      where external_id = any (array(select json_array_elements_text(${externalIds}::text::json)))
    union all
    select id from users where id = any (array(select json_array_elements_text(${ids}::text::json)))`)) as unknown as {
    value: string
  }[]
  const known = new Set(rows.map((row) => row.value))
  return lost.map(({ id, row }) => {
    if (known.has(id)) return 'the id is taken'
    if (row.externalId !== null && known.has(row.externalId)) return 'the external id is taken'
    return row.username === null ? 'the id is taken' : 'the username is taken'
  })
}
