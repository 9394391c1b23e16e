import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfigFile } from '../../commands/config-file.ts'
import { testInstance } from '../../testing/server.ts'
import { createRole, listRoles } from '../access/index.ts'
import { createOrganization } from '../organizations/index.ts'
import { createJwtTemplate } from '../sessions/index.ts'
import { createUser } from '../users/index.ts'
import { applyConfiguration, parseConfiguration, planConfiguration, promoteState, readConfiguration } from './index.ts'
import { renderConfiguration } from './render.ts'

const parse = (file: unknown, environment = {}) => parseConfiguration(file, environment, { instanceName: 'test' })

test('what is written into a file and read again is the same, whatever stands in it', async () => {
  const t = await testInstance()
  const odd = `it's "odd" \\ \`\${x}\` \n\t\u2028 </script> 名前 🙂 */ // __proto__`
  const claims = { __proto__: undefined, 'a b': odd, nested: { "it's": [1, null, true, { deep: '{{user.id}}' }] } }
  await createJwtTemplate(t.ctx(), { name: 'odd-1', claims: JSON.parse(JSON.stringify(claims)), lifetime: 90 })
  await createRole(t.ctx(), { key: 'org:odd', name: odd.slice(0, 30), description: odd })
  await applyConfiguration(
    t.ctx(),
    parse({ settings: { applicationName: odd.slice(0, 50), signUp: { names: 'off' } } }),
  )
  const text = renderConfiguration(await readConfiguration(t.ctx()), t.ctx().instance)
  const directory = mkdtempSync(join(tmpdir(), 'usher-config-'))
  try {
    const file = join(directory, 'usher.config.ts')
    writeFileSync(file, text)
    const wanted = await loadConfigFile(file, t.ctx().instance)
    expect(await planConfiguration(t.ctx(), wanted)).toEqual({ changes: [], notes: [], problems: [] })
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a role that somebody has cannot be left out of a file; then nothing of it is done', async () => {
  const t = await testInstance()
  await createRole(t.ctx(), { key: 'org:boss', name: 'Boss', permissionIds: [] })
  const user = await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }] })
  const { data } = await listRoles(t.ctx(), { limit: 10, offset: 0 })
  const boss = data.find(({ key }) => key === 'org:boss')
  expect(boss).toBeDefined()
  await applyConfiguration(t.ctx(), parse({ settings: { organizations: { creatorRole: 'org:boss' } } }))
  await t.server.runtime.instances.reload()
  await createOrganization(t.ctx(), { name: 'Acme', createdBy: user.id })
  const wanted = parse({ settings: {}, permissions: { 'org:a:b': { name: 'AB' } }, roles: {} })
  await expect(applyConfiguration(t.ctx(), wanted)).rejects.toMatchObject({ code: 'role_in_use' })
  const state = await readConfiguration(t.ctx())
  expect(Object.keys(state.permissions)).toEqual([])
  expect(state.settings.organizations.creatorRole).toBe('org:boss')
})

test('a plan that is out of date is refused', async () => {
  const t = await testInstance()
  const wanted = parse({ permissions: { 'org:a:b': { name: 'AB' } } })
  const plan = await planConfiguration(t.ctx(), wanted)
  await applyConfiguration(t.ctx(), parse({ permissions: { 'org:c:d': { name: 'CD' } } }))
  await expect(applyConfiguration(t.ctx(), wanted, plan)).rejects.toMatchObject({ code: 'conflict' })
  expect(Object.keys((await readConfiguration(t.ctx())).permissions)).toEqual(['org:c:d'])
})

test('the order of a list of keys is no difference', async () => {
  const t = await testInstance()
  const permissions = { 'org:tasks:write': { name: 'Write tasks' } }
  const held = ['org:tasks:write', 'org:sys_memberships:read', 'org:tasks:write']
  const wanted = parse({ permissions, roles: { 'org:editor': { name: 'Editor', permissions: held } } })
  await applyConfiguration(t.ctx(), wanted)
  expect((await planConfiguration(t.ctx(), wanted)).changes).toEqual([])
})

test('one instance’s file changes nothing of another', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const before = await readConfiguration(other.ctx())
  const file = { settings: { multiSession: true }, permissions: { 'org:a:b': { name: 'AB' } }, roles: {}, webhooks: {} }
  await applyConfiguration(t.ctx(), parse(file))
  expect(await readConfiguration(other.ctx())).toEqual(before)
})

test('J5 a file cannot make the server deliver into its own network', async () => {
  const t = await testInstance()
  const inside = [
    'http://127.0.0.1:3913/',
    'https://169.254.169.254/latest',
    'http://localhost/',
    'https://[::1]/',
    'https://10.0.0.1/',
  ]
  for (const url of inside) {
    const wanted = parse({ permissions: { 'org:a:b': { name: 'AB' } }, webhooks: { [url]: {} } })
    await expect(applyConfiguration(t.ctx(), wanted)).rejects.toMatchObject({ code: 'egress_refused' })
  }
  for (const url of ['file:///etc/passwd', 'gopher://acme.example/', 'not a URL'])
    expect(() => parse({ webhooks: { [url]: {} } })).toThrow('an endpoint goes by its URL')
  const { permissions, webhooks } = await readConfiguration(t.ctx())
  expect({ permissions, webhooks }).toEqual({ permissions: {}, webhooks: {} })
})

test('promoting carries no secret and no demo credentials, and leaves alone where production lives', async () => {
  const [dev, live] = [await testInstance(), await testInstance('production')]
  const environment = { GITHUB_CLIENT_SECRET: 'secret of development', JWT_PARTNER_SIGNING_KEY: 'k'.repeat(40) }
  const file = {
    settings: {
      homeUrl: 'http://localhost:3000',
      logoUrl: 'http://localhost:3000/logo.png',
      termsUrl: 'https://acme.example/terms',
      multiSession: true,
    },
    connections: {
      google: {},
      github: { clientId: 'dev', clientSecret: { $env: 'GITHUB_CLIENT_SECRET' } },
      gitlab: {},
    },
    jwtTemplates: {
      partner: { claims: {}, signingAlgorithm: 'HS256', signingKey: { $env: 'JWT_PARTNER_SIGNING_KEY' } },
    },
    webhooks: { 'https://dev.acme.example/hooks': {} },
  }
  await applyConfiguration(dev.ctx(), parse(file, environment))
  const place = { homeUrl: 'https://app.acme.example', allowedOrigins: ['https://app.acme.example'] }
  const own = { clientId: 'live', clientSecret: { $env: 'GITLAB_CLIENT_SECRET' } }
  await applyConfiguration(
    live.ctx(),
    parse(
      { settings: place, connections: { gitlab: own, apple: own } },
      { GITLAB_CLIENT_SECRET: 'secret of production' },
    ),
  )

  const promoted = async (env: Record<string, string>) =>
    promoteState(await readConfiguration(dev.ctx()), await readConfiguration(live.ctx()), env)
  const { wanted, notes } = await promoted({})
  expect(wanted.settings).toMatchObject({ ...place, multiSession: true, termsUrl: 'https://acme.example/terms' })
  expect(wanted.settings?.logoUrl).toBeUndefined()
  expect(Object.keys(wanted.connections ?? {}).sort()).toEqual(['apple', 'gitlab'])
  expect(wanted.webhooks).toBeUndefined()
  for (const about of ['settings.homeUrl', 'settings.logoUrl', 'connections.google', 'connections.github', 'webhooks.'])
    expect(notes.filter((note) => note.startsWith(about))).toHaveLength(1)
  // The key of a template is needed, and that of development is not taken.
  const plan = await planConfiguration(live.ctx(), wanted)
  expect(plan.problems).toEqual([
    'jwtTemplates.partner.signingKey: the environment variable JWT_PARTNER_SIGNING_KEY is not set',
  ])
  await expect(applyConfiguration(live.ctx(), wanted)).rejects.toMatchObject({ code: 'form_param_value_invalid' })

  const given = {
    JWT_PARTNER_SIGNING_KEY: 'l'.repeat(40),
    GITHUB_CLIENT_ID: 'live-github',
    GITHUB_CLIENT_SECRET: 'secret of production at github',
  }
  await applyConfiguration(live.ctx(), (await promoted(given)).wanted)
  const after = await readConfiguration(live.ctx())
  expect(after.connections.github).toMatchObject({ clientId: 'live-github' })
  expect(after.connections.github?.clientSecret?.reveal()).toBe(given.GITHUB_CLIENT_SECRET)
  expect(after.connections.gitlab?.clientSecret?.reveal()).toBe('secret of production')
  expect(after.connections.google).toBeUndefined()
  expect(after.jwtTemplates.partner?.signingKey?.reveal()).toBe(given.JWT_PARTNER_SIGNING_KEY)
  // Again, with nothing in the environment: nothing is left to do.
  expect(await planConfiguration(live.ctx(), (await promoted({})).wanted)).toMatchObject({ changes: [], problems: [] })
})
