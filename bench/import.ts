import { join } from 'node:path'
import type { SQL } from 'bun'
import { residentBytes, root, temporaryDirectory } from './support/processes.ts'
import { type Benchmark, compare, type Row } from './support/rows.ts'
import { connectOwner, main, postgresOf, startUsher } from './support/usher.ts'

const users = process.argv.includes('--full') ? 250_000 : 30_000
const organizations = 100
const psql = Bun.which('psql')
/** In the order in which rows may refer to each other. */
const tables = ['users', 'email_addresses', 'passwords', 'memberships', 'events']
/** A bcrypt digest of cost 12. What it is of does not matter: an import looks at its form. */
const digest = '$2b$12$LAFU09mSsC2mz9jyWtkjtOqSs.2NBfQLyvUpXRHfFJxlO/UHlLw2W'

const line = (record: object) => `${JSON.stringify(record)}\n`

/** Somebody as a migration tool writes them. */
const person = (i: number) =>
  line({
    userId: `old_${i}`,
    email: `person${i}@example.com`,
    firstName: `First${i}`,
    lastName: `Last${i}`,
    passwordHasher: 'bcrypt',
    password: digest,
    publicMetadata: { imported: true },
    organization_memberships: [
      { organization: `org-${i % organizations}`, role: i % 10 === 0 ? 'org:admin' : 'org:member' },
    ],
  })

/** Organizations, and people from a number on, a hundredth of them in each organization. */
async function writePeople(file: string, from: number, count: number): Promise<void> {
  const writer = Bun.file(file).writer()
  for (let i = 0; i < organizations; i++)
    writer.write(line({ object: 'organization', name: `Org ${i}`, slug: `org-${i}`, max_allowed_memberships: 0 }))
  for (let i = from; i < from + count; i++) writer.write(person(i))
  await writer.end()
}

const environment = { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', LOG_LEVEL: 'warn' }

function startImport(file: string, data: string) {
  const command = [process.execPath, main, 'import', 'users', file, '--data', data, '--json']
  return Bun.spawn(command, { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'ignore'] })
}

/** Imports a file to its end, and looks at the process' memory on the way. */
async function importWhole(file: string, data: string, count: number) {
  const sql = connectOwner(data)
  const startedAt = performance.now()
  const child = startImport(file, data)
  const memory = new Map<number, number>()
  for (const share of [0.1, 0.5, 0.98]) {
    for (;;) {
      const [row] = await sql`select max(imported)::int as done from imports`
      if ((row?.done ?? 0) >= share * count || child.exitCode !== null) break
      await Bun.sleep(20)
    }
    if (child.exitCode === null) memory.set(share, residentBytes(child.pid) / 1e6)
  }
  const report = JSON.parse(await new Response(child.stdout).text()) as { imported: number }
  await child.exited
  const seconds = (performance.now() - startedAt) / 1000
  await sql.close()
  if (report.imported !== count) throw new Error(`${report.imported} of ${count} users were imported`)
  return { seconds, memory }
}

/** Kills an import half-way and runs it again. @returns how many users are there in the end, by distinct address */
async function killAndResume(file: string, data: string, count: number) {
  const sql = connectOwner(data)
  const [before] = await sql`select count(*)::int as n from users`
  const child = startImport(file, data)
  for (;;) {
    const [row] = await sql`select min(imported)::int as done from imports`
    if ((row?.done ?? 0) > count / 3 && row.done < count) break
    if (child.exitCode !== null) throw new Error('the import ended before it could be killed')
    await Bun.sleep(5)
  }
  child.kill('SIGKILL')
  await child.exited
  const again = startImport(file, data)
  const report = JSON.parse(await new Response(again.stdout).text()) as { imported: number; resumed_at: number }
  const [after] = await sql`select count(*)::int as n, count(distinct external_id)::int as distinct from users`
  await sql.close()
  if (after.n - before.n !== count || after.distinct !== after.n)
    throw new Error(`after a kill there are ${after.n - before.n} users of ${count}`)
  return { resumedAt: report.resumed_at - organizations }
}

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { env: environment, stdio: ['ignore', 'ignore', 'pipe'] })
  const error = await new Response(child.stderr).text()
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')} failed:\n${error}`)
}

const columnsOf = async (sql: SQL, table: string): Promise<string> => {
  const rows = await sql`select column_name as name from information_schema.columns
    where table_schema = 'public' and table_name = ${table} and is_identity = 'NO' and is_generated = 'NEVER' order by ordinal_position`
  return rows.map(({ name }: { name: string }) => `"${name}"`).join(', ')
}

/** Loads the same rows into the same tables of an empty cluster by psql's \copy, without the server. @returns seconds */
async function copyRaw(data: string, folder: string): Promise<number> {
  const sql = connectOwner(data)
  const moved = ['roles', 'organizations', ...tables]
  const columns = new Map<string, string>()
  for (const table of moved) columns.set(table, await columnsOf(sql, table))
  await sql.close()
  const at = (where: string) => [
    psql ?? '',
    '-h',
    postgresOf(where).host,
    '-U',
    postgresOf(where).user,
    '-d',
    'postgres',
    '-qAtX',
    '-v',
    'ON_ERROR_STOP=1',
    '-c',
  ]
  for (const table of moved)
    await run([...at(data), `\\copy (select ${columns.get(table)} from ${table}) to '${join(folder, table)}'`])
  using fresh = temporaryDirectory()
  await using _server = await startUsher(fresh.path)
  const into = (table: string) => [
    ...at(fresh.path),
    `\\copy ${table} (${columns.get(table)}) from '${join(folder, table)}'`,
  ]
  await run(into('roles'))
  await run(into('organizations'))
  const startedAt = performance.now()
  for (const table of tables) await run(into(table))
  return (performance.now() - startedAt) / 1000
}

export const importing: Benchmark = {
  name: 'import',
  method:
    `\`usher import users\` of ${users.toLocaleString('en')} users (JSON Lines: address, names, metadata, bcrypt digest, one membership) beside a ` +
    'running server, from the launch of the command to its end. Each user is a row in five tables, events included (six rows, with ' +
    'two events). The peer is `psql` with `\\copy` of the very same rows into the same tables, with the same indexes and foreign keys, ' +
    'of a fresh cluster of the same binaries: no parsing, no checks, no ids to make, no row-level security. Memory is that of the ' +
    'import’s process when 10 %, 50 % and 98 % are committed. Then another file is imported, killed by SIGKILL after a third, and run again. ' +
    '`npm run bench -- import --full` takes 250,000 users.',
  run: async () => {
    using data = temporaryDirectory()
    using files = temporaryDirectory()
    await using _server = await startUsher(data.path)
    const file = join(files.path, 'people.jsonl')
    await writePeople(file, 0, users)
    const { seconds, memory } = await importWhole(file, data.path, users)
    const rows: Row[] = []
    const rate = users / seconds
    const notes: string[] = []
    if (psql)
      rows.push(
        compare(
          `importing ${users.toLocaleString('en')} users, beside a raw \`COPY\` of their rows`,
          rate,
          users / (await copyRaw(data.path, files.path)),
          0.4,
        ),
      )
    else notes.push('There is no psql on this machine, so the raw `COPY` was not measured.')
    const [early = 0, , late = 0] = [0.1, 0.5, 0.98].map((share) => memory.get(share) ?? Number.NaN)
    const shown = [...memory].map(([share, mb]) => `${mb.toFixed(0)} MB at ${share * 100} %`).join(', ')
    rows.push({
      name: 'memory of the import, at its end by that at a tenth',
      ours: `${late.toFixed(0)} MB`,
      peer: `${early.toFixed(0)} MB`,
      ratio: `${(late / early).toFixed(2)}x`,
      target: '≤ 1.5x',
      met: late / early <= 1.5,
    })
    notes.push(`Memory: ${shown}.`)

    const fewer = 15_000
    const second = join(files.path, 'others.jsonl')
    await writePeople(second, users, fewer)
    const { resumedAt } = await killAndResume(second, data.path, fewer)
    notes.push(
      `Killed and run again: the second run went on behind record ${resumedAt.toLocaleString('en')} of ${fewer.toLocaleString('en')}; all are there, and none twice.`,
    )
    return { rows, notes }
  },
}
