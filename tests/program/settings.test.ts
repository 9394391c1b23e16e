import { expect, test } from 'bun:test'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

const clientSecret = 'provider-secret-of-the-test'

/** A running server, and the commands of settings as code beside it. */
async function serverWithFile() {
  const directory = temporaryDirectory()
  const server = await startUsher({ data: directory.path })
  const file = join(directory.path, 'usher.config.ts')
  const run = (command: string, args: string[] = [], env: Record<string, string> = {}) =>
    runUsher([command, '--data', directory.path, ...args], env)
  return {
    server,
    file,
    run,
    pull: () => run('pull', ['--out', file, '--force']),
    diff: async (env = {}) => {
      const { stdout, stderr, code } = await run('diff', ['--file', file, '--json'], env)
      return { ...(stdout ? JSON.parse(stdout) : { stderr }), code }
    },
    apply: (env = {}) => run('apply', ['--file', file, '--yes', '--json'], env),
    write: (body: string) =>
      writeFileSync(file, `import { defineConfig, env } from 'usher/config'\nexport default defineConfig(${body})\n`),
    backend: async (path: string) => {
      const headers = { authorization: `Bearer ${server.ready.secret_key}` }
      return (await fetch(`${server.ready.url}/v1${path}`, { headers })).json()
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop()
      directory[Symbol.dispose]()
    },
  }
}

test('what is pulled differs in nothing; an edit is planned, applied, and known to the running server', async () => {
  await using s = await serverWithFile()
  expect(await s.pull()).toMatchObject({ code: 0 })
  expect(await s.run('pull', ['--out', s.file])).toMatchObject({ code: 1 })
  expect(await s.diff()).toMatchObject({ code: 0, changes: [] })

  const pulled = readFileSync(s.file, 'utf8')
  expect(pulled).toContain("import { defineConfig } from 'usher/config'")
  const edited = pulled
    .replace('settings: {}', "settings: { password: { minLength: 12 }, applicationName: 'Acme' }")
    .replace('permissions: {}', "permissions: { 'org:tasks:write': { name: 'Write tasks' } }")
    .replace(/roles: \{/, "roles: { 'org:editor': { name: 'Editor', permissions: ['org:tasks:write'] },")
  writeFileSync(s.file, edited)
  const plan = await s.diff()
  expect(plan.code).toBe(2)
  expect(plan.changes.map((c: { action: string; path: string }) => `${c.action} ${c.path}`)).toEqual([
    'change settings.applicationName',
    'change settings.password.minLength',
    'add permissions.org:tasks:write',
    'add roles.org:editor',
  ])
  // Nobody is at a terminal here, so nothing happens without a word.
  const asked = await s.run('apply', ['--file', s.file])
  expect(asked).toMatchObject({ code: 1 })
  expect(asked.stderr).toContain('--yes')
  expect((await s.diff()).code).toBe(2)

  const applied = await s.apply()
  expect(JSON.parse(applied.stdout)).toMatchObject({ applied: true })
  // Nor does the command hear of its own change, while it goes.
  expect(applied.stderr).toBe('')
  expect(await s.diff()).toMatchObject({ code: 0, changes: [] })
  const { data: roles } = await s.backend('/organization_roles')
  expect(roles.find((r: { key: string }) => r.key === 'org:editor').permissions).toMatchObject([
    { key: 'org:tasks:write' },
  ])
  const deadline = Date.now() + 5000
  const minLength = async () =>
    (await (await fetch(`${s.server.ready.url}/v1/environment`)).json()).user_settings.password_settings.min_length
  while ((await minLength()) !== 12 && Date.now() < deadline) await Bun.sleep(50)
  expect(await minLength()).toBe(12)

  // A part that the file does not name stays; what it does not name of a part goes.
  s.write(`{ roles: {} }`)
  expect((await s.diff()).changes).toEqual([{ action: 'remove', path: 'roles.org:editor' }])
  expect(await s.apply()).toMatchObject({ code: 0 })
  expect((await s.backend('/organization_permissions?limit=100')).data.map((p: { key: string }) => p.key)).toContain(
    'org:tasks:write',
  )
}, 90_000)

test('a file that cannot be is refused with a line for every problem, and changes nothing', async () => {
  await using s = await serverWithFile()
  s.write(`{
    colour: 'red',
    settings: { password: { minLength: 3 }, homeUrl: env('USHER_TEST_NOT_SET') },
    connections: { google: { clientId: 'id', clientSecret: 'plain' } },
  }`)
  const { code, stderr } = await s.apply()
  expect(code).toBe(1)
  for (const path of ['colour', 'settings.password.minLength', 'USHER_TEST_NOT_SET', 'connections.google.clientSecret'])
    expect(stderr).toContain(path)

  // Half of it could be done: then nothing is.
  s.write(`{
    permissions: { 'org:tasks:write': { name: 'Write' } },
    roles: { 'org:editor': { name: 'Editor', permissions: ['org:tasks:read'] } },
  }`)
  const half = await s.apply()
  expect(half).toMatchObject({ code: 1 })
  expect(half.stderr).toContain('roles.org:editor: there is no permission "org:tasks:read"')
  expect((await s.diff()).changes).toHaveLength(2)

  s.write(`{ settings: { organizations: { creatorRole: 'org:owner' } } }`)
  expect((await s.apply()).stderr).toContain('settings.organizations.creatorRole')
  expect((await s.diff()).changes).toHaveLength(1)

  writeFileSync(s.file, `throw new Error('the file fails')`)
  expect((await s.apply()).stderr).toContain('the file fails')
  expect((await s.run('diff', ['--file', '/nowhere/usher.config.ts'])).stderr).toContain('usher pull')
}, 90_000)

test('G7 secrets come from the environment and are in no file, plan, message or log', async () => {
  await using s = await serverWithFile()
  s.write(`{
    connections: { github: { clientId: 'gh-client', clientSecret: env('GITHUB_CLIENT_SECRET') } },
    jwtTemplates: {
      partner: { claims: { role: 'x' }, signingAlgorithm: 'HS256', signingKey: env('JWT_PARTNER_SIGNING_KEY') },
    },
  }`)
  const missing = await s.apply()
  expect(missing).toMatchObject({ code: 1 })
  expect(missing.stderr).toContain('GITHUB_CLIENT_SECRET')
  expect(missing.stderr).toContain('JWT_PARTNER_SIGNING_KEY')

  const env = { GITHUB_CLIENT_SECRET: clientSecret, JWT_PARTNER_SIGNING_KEY: 'k'.repeat(40) }
  const applied = await s.apply(env)
  expect(applied).toMatchObject({ code: 0 })
  const same = await s.diff(env)
  expect(same).toMatchObject({ code: 0, changes: [], notes: [] })
  // Without the variables the stored secrets stay; another value is a change that shows neither.
  const unset = await s.diff()
  expect(unset).toMatchObject({ code: 0, changes: [] })
  expect(unset.notes).toHaveLength(2)
  const other = await s.diff({ ...env, GITHUB_CLIENT_SECRET: 'another-secret' })
  expect(other.changes).toEqual([
    { action: 'change', path: 'connections.github.clientSecret', from: '(secret)', to: '(secret)' },
  ])

  await s.pull()
  const pulled = readFileSync(s.file, 'utf8')
  expect(pulled).toContain("clientSecret: env('GITHUB_CLIENT_SECRET')")
  expect(pulled).toContain("signingKey: env('JWT_PARTNER_SIGNING_KEY')")
  expect(await s.diff(env)).toMatchObject({ code: 0, changes: [] })
  const told = JSON.stringify([await s.backend('/audit_logs?limit=500'), await s.backend('/events?limit=100')])
  expect(told).toContain('connections.github')
  const { stdout, stderr } = s.server.output()
  for (const text of [
    pulled,
    applied.stdout,
    applied.stderr,
    JSON.stringify([same, unset, other]),
    told,
    stdout,
    stderr,
  ])
    for (const secret of [clientSecret, 'another-secret', 'k'.repeat(40)]) expect(text).not.toContain(secret)
}, 90_000)

test('features, role sets and webhooks are part of it, each by the name that it has', async () => {
  await using s = await serverWithFile()
  await s.pull()
  expect(readFileSync(s.file, 'utf8')).not.toContain('role_set')
  const secret = `whsec_${Buffer.from('a secret of twenty-four by').toString('base64')}`
  s.write(`{
    features: { reports: { name: 'Reports', defaultFor: 'organizations' }, exports: { name: 'Exports', enabled: false } },
    permissions: { 'org:reports:read': { name: 'Read reports' } },
    roles: {
      'org:reader': { name: 'Reader', permissions: ['org:reports:read'] },
      'org:lead': { name: 'Lead', permissions: ['org:sys_memberships:manage'] },
    },
    roleSets: {
      'role_set:default': { name: 'Default', roles: ['org:admin', 'org:member', 'org:reader'] },
      'role_set:agencies': {
        name: 'Agencies', roles: ['org:lead', 'org:reader'], defaultRole: 'org:reader', creatorRole: 'org:lead',
      },
    },
    webhooks: {
      'https://hooks.acme.example': { eventTypes: ['user.created', 'organization.*'], secret: env('HOOK_SECRET') },
      'https://hooks.acme.example/all': { description: 'Everything' },
    },
  }`)
  expect((await s.apply()).stderr).toContain('HOOK_SECRET')
  const applied = await s.apply({ HOOK_SECRET: secret })
  expect(applied).toMatchObject({ code: 0 })
  expect(applied.stdout).not.toContain(secret)
  expect(await s.diff({ HOOK_SECRET: secret })).toMatchObject({ code: 0, changes: [] })
  const { data: sets } = await s.backend('/role_sets')
  expect(sets.map((set: { key: string; roles: unknown[] }) => [set.key, set.roles.length]).sort()).toEqual([
    ['role_set:agencies', 2],
    ['role_set:default', 3],
  ])

  // What is pulled says the same, and names no secret: each instance has its own.
  await s.pull()
  const pulled = readFileSync(s.file, 'utf8')
  expect(pulled).toContain("'https://hooks.acme.example/': {")
  expect(pulled).not.toContain('whsec_')
  expect(await s.diff()).toMatchObject({ code: 0, changes: [] })

  // A role leaves a set and goes; the settings may name another in its place at the same time.
  s.write(`{
    settings: { organizations: { defaultRole: 'org:lead' } },
    roles: { 'org:lead': { name: 'Lead', permissions: ['org:sys_memberships:manage'] } },
    roleSets: { 'role_set:default': { name: 'Default', roles: ['org:admin', 'org:lead', 'org:member'] } },
    webhooks: { 'https://hooks.acme.example/': { eventTypes: ['organization.*', 'user.created'] } },
    features: { reports: { name: 'Reports' } },
  }`)
  const plan = await s.diff()
  expect(plan.changes.map((c: { action: string; path: string }) => `${c.action} ${c.path}`).sort()).toEqual([
    'change features.reports.defaultFor',
    'change roleSets.role_set:default.roles',
    'change settings.organizations.defaultRole',
    'remove features.exports',
    'remove roleSets.role_set:agencies',
    'remove roles.org:reader',
    'remove webhooks.https://hooks.acme.example/all',
  ])
  expect(await s.apply()).toMatchObject({ code: 0 })
  expect(await s.diff()).toMatchObject({ code: 0, changes: [] })
}, 120_000)

test('of two files applied at once, both arrive whole or one is told that its plan is out of date', async () => {
  await using s = await serverWithFile()
  const other = s.file.replace('usher.config', 'other.config')
  s.write(`{ permissions: { 'org:one:a': { name: 'A' }, 'org:one:b': { name: 'B' } } }`)
  writeFileSync(other, readFileSync(s.file, 'utf8').replaceAll('org:one', 'org:two'))
  expect(existsSync(other)).toBe(true)
  const done = await Promise.all([s.apply(), s.run('apply', ['--file', other, '--yes'])])
  for (const { code, stderr } of done.filter((d) => d.code !== 0)) {
    expect(code).toBe(1)
    expect(stderr).toContain('changed meanwhile')
  }
  expect(done.filter((d) => d.code === 0).length).toBeGreaterThan(0)
  const { data } = await s.backend('/organization_permissions?limit=100')
  const own = data.map((p: { key: string }) => p.key).filter((key: string) => !key.startsWith('org:sys_'))
  expect([
    ['org:one:a', 'org:one:b'],
    ['org:two:a', 'org:two:b'],
  ]).toContainEqual(own.sort())
}, 90_000)
