import { expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClerkClient } from '@clerk/backend'
import { SQL } from 'bun'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

test.skipIf(!postgresBin)(
  'a running server keeps the log; usher audit verifies and exports it, and names what somebody did to it',
  async () => {
    await using postgres = await startPostgres()
    using directory = temporaryDirectory()
    const env = { DATABASE_URL: postgres.url, USHER_SECRET: 'kept by the operators of this test alone' }
    await using usher = await startUsher({ env, data: directory.path })
    const { url, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
    const clerk = createClerkClient({ publishableKey, secretKey, apiUrl: url, telemetry: { disabled: true } })
    const user = await clerk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
    const { id } = await clerk.organizations.createOrganization({ name: 'Acme', createdBy: user.id })
    for (const name of ['Acme One', 'Acme Two', 'Acme Three'])
      await clerk.organizations.updateOrganization(id, { name })

    const log = async () => {
      const headers = { authorization: `Bearer ${secretKey}` }
      return (await (await fetch(`${url}/v1/organizations/${id}/audit_logs`, { headers })).json()).data
    }
    const deadline = Date.now() + 10_000
    while (((await log()) ?? []).length < 5 && Date.now() < deadline) await Bun.sleep(50)
    expect(await log()).toHaveLength(5)

    const run = (...args: string[]) => runUsher(['audit', ...args, '--data', directory.path], env)
    const verified = await run('verify', '--json')
    expect(verified.code).toBe(0)
    expect(JSON.parse(verified.stdout)).toMatchObject({ problems: [] })
    const heads = join(directory.path, 'heads.json')
    writeFileSync(heads, verified.stdout)
    expect((await run('verify', '--against', heads)).stdout).toContain('every one is as it was written')

    const out = join(directory.path, 'log.csv')
    expect(await run('export', '--organization', id, '--format', 'csv', '--out', out)).toMatchObject({ code: 0 })
    expect(readFileSync(out, 'utf8').trimEnd().split('\r\n')).toHaveLength(6)
    expect(await run('export', '--format', 'xml')).toMatchObject({ code: 1 })
    expect(await run('shred')).toMatchObject({ code: 1 })

    // What the operator changes stands in the instance's own log: what, and not the values.
    const settings = join(directory.path, 'usher.config.ts')
    writeFileSync(
      settings,
      `import { defineConfig } from 'usher/config'\nexport default defineConfig({ roles: { 'org:lead': { name: 'Lead' } } })\n`,
    )
    expect(await runUsher(['apply', '--file', settings, '--yes', '--data', directory.path], env)).toMatchObject({
      code: 0,
    })
    const own = (await run('export')).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(own.find(({ action, data }) => action === 'instance.updated' && data.changes)).toMatchObject({
      actor: { type: 'system', id: 'operator' },
      data: { changes: ['add roles.org:lead'] },
    })

    // Somebody who owns the database, and does not know the secret.
    const sql = new SQL(postgres.url, { max: 1 })
    try {
      const [third] =
        await sql`update audit_entries set data = '{"role":"org:nobody"}' where chain = ${id} and place = 3
        returning id`
      await sql`delete from audit_entries where chain = ${id} and place = 5`
      const told = await run('verify', '--organization', id)
      expect(told.code).toBe(1)
      expect(told.stdout).toContain(`${id}, place 3, ${third.id}: was changed`)
      expect(told.stdout).toContain('entry 5 was removed')
      expect((await run('verify', '--organization', id, '--against', heads)).stdout).toContain('put back or rewritten')
    } finally {
      await sql.close()
    }
  },
  120_000,
)
