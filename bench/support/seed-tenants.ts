import type { SQL } from 'bun'

export type Size = { organizations: number; users: number }

export const firstNames =
  'Ada Alan Amir Ana Anke Arun Bea Bo Carla Chen Dana Dario Edda Elif Emil Erik Esme Fadi Fatima Felix Freya Gita Greta Hana Hugo Ida Ines Ivan Jada Jonas Jun Kai Kira Lara Leo Lin Luca Maja Malik Mara Mei Milan Mina Nadia Nia Nils Noor Olga Omar Otto Paula Pia Quinn Rafael Rana Rosa Ruben Sana Selma Silas Sofia Tala Tariq Thea Timo Uma Vera Viktor Wanda Xenia Yara Yusuf Zeno Zoe'.split(
    ' ',
  )
export const beginnings =
  'Acker Berg Birk Blum Bren Cald Dor Eber Fen Gar Hal Hof Jan Kel Kor Lang Lind Mar Mont Nor Ost Pal Quer Ros Sand Schwarz Tal Ulm Val Wal Zim Zorn'.split(
    ' ',
  )
export const endings =
  'ano bach by dahl eira enko er feld gaard hagen ides ini ius kov ley mann mura nen oglu ova quist rich sen ski son stein stra ton vic wood'.split(
    ' ',
  )

const list = (words: readonly string[]) => `array[${words.map((word) => `'${word}'`).join(', ')}]`
/** A word of a list by a number. */
const pick = (words: readonly string[], number: string) => `(${list(words)})[(1 + (${number}) % ${words.length})::int]`
/** An id as the server makes them, in no order; the same for the same number. */
const id = (prefix: string, number: string) =>
  `'${prefix}_' || left(md5('${prefix}' || (${number})) || md5((${number}) || '${prefix}'), 27)`
/** The last two years, spread by a number. */
const moment = (number: string) => `now() - ((${number}) * 7919 % 63072000) * interval '1 second'`

/** The organization of the n-th member: a tenth of all people are in the first. */
const organizationOf = (n: string, size: Size) =>
  `case when (${n}) % 10 = 0 then 0 else 1 + (${n}) % ${size.organizations - 1} end`

/**
 * Fills an instance with organizations and people as a business would have them: names and addresses of many, one or
 * two addresses a person, most in one organization and a fifth in a second, a tenth of all in one organization, and
 * open invitations. Set by set, in some seconds for each 10,000 people.
 *
 * @param owner a superuser's connection, whom row-level security does not bind
 */
export async function seedTenants(owner: SQL, instanceId: string, size: Size): Promise<void> {
  const [admin] = await owner`select id from roles where instance_id = ${instanceId} and key = 'org:admin'`
  const [member] = await owner`select id from roles where instance_id = ${instanceId} and key = 'org:member'`
  const at = `'${instanceId}'`
  const people = `generate_series(0::bigint, ${size.users - 1}) as n`
  const first = pick(firstNames, 'n * 31')
  const last = `${pick(beginnings, 'n / 7')} || ${pick(endings, 'n / 3')}`
  const statements = [
    `insert into organizations (id, instance_id, name, slug, max_allowed_memberships, created_at, updated_at)
      select ${id('org', 'n')}, ${at}, ${pick(beginnings, 'n')} || ${pick(endings, 'n / 5')} || ' ' ||
        ${pick(['Labs', 'Group', 'Works', 'Partners', 'Studio', 'Systems', 'Foods'], 'n')} || ' ' || n,
        'org-' || n, 0, ${moment('n * 13')}, ${moment('n')}
      from generate_series(0::bigint, ${size.organizations - 1}) as n`,
    `insert into users (id, instance_id, external_id, username, first_name, last_name, primary_email_address_id,
        last_sign_in_at, last_active_at, created_at, updated_at)
      select ${id('user', 'n')}, ${at}, 'crm-' || n, case when n % 2 = 0 then lower(${first}) || '_' || n end,
        ${first}, ${last}, ${id('idn', 'n')},
        case when n % 3 > 0 then ${moment('n * 3')} end, case when n % 3 > 0 then ${moment('n * 5')} end,
        ${moment('n * 11')}, ${moment('n * 7')}
      from ${people}`,
    `insert into email_addresses (id, instance_id, user_id, email_address, verified_at, verification_strategy, created_at, updated_at)
      select ${id('idn', 'n')}, ${at}, ${id('user', 'n')},
        lower(${first} || '.' || ${last} || n || '@' || ${pick(beginnings, 'n')} || '.example'),
        now(), 'admin', ${moment('n * 11')}, ${moment('n * 7')}
      from ${people}`,
    `insert into email_addresses (id, instance_id, user_id, email_address, verified_at, created_at, updated_at)
      select ${id('idn', `n + ${size.users}`)}, ${at}, ${id('user', 'n')}, lower(${first}) || n || '@mail.example',
        null, ${moment('n * 11')}, ${moment('n * 7')}
      from ${people} where n % 5 = 0`,
    `insert into phone_numbers (id, instance_id, user_id, phone_number, verified_at, created_at, updated_at)
      select ${id('idn', `n + ${2 * size.users}`)}, ${at}, ${id('user', 'n')}, '+4915' || lpad((n * 7919)::text, 9, '0'),
        now(), ${moment('n * 11')}, ${moment('n * 7')}
      from ${people} where n % 10 = 3`,
    `insert into memberships (id, instance_id, organization_id, user_id, role_id, created_at, updated_at)
      select ${id('orgmem', 'n')}, ${at}, ${id('org', organizationOf('n', size))}, ${id('user', 'n')},
        case when n % 40 < 2 then '${admin.id}' else '${member.id}' end, ${moment('n * 11')}, ${moment('n * 7')}
      from ${people}`,
    `insert into memberships (id, instance_id, organization_id, user_id, role_id, created_at, updated_at)
      select ${id('orgmem', `n + ${size.users}`)}, ${at}, ${id('org', organizationOf('n + 3', size))}, ${id('user', 'n')},
        '${member.id}', ${moment('n * 17')}, ${moment('n * 7')}
      from ${people} where n % 5 = 1 on conflict do nothing`,
    `insert into organization_invitations (id, instance_id, organization_id, email_address, role_id, status, created_at, updated_at, expires_at)
      select ${id('orginv', 'n')}, ${at}, ${id('org', organizationOf('n', size))}, 'guest' || n || '@example.com', '${member.id}',
        case when n % 3 = 0 then 'accepted' when n % 3 = 1 then 'pending' else 'revoked' end,
        ${moment('n * 11')}, ${moment('n * 7')}, now() + interval '20 days'
      from generate_series(0::bigint, ${size.users / 5 - 1}) as n`,
    'vacuum (analyze)',
  ]
  for (const statement of statements) await owner.unsafe(statement)
}

/** Id of the n-th seeded organization or person. */
export async function seededId(owner: SQL, prefix: 'org' | 'user', n: number): Promise<string> {
  const [row] = await owner.unsafe(`select ${id(prefix, String(n))} as id`)
  return row.id
}
