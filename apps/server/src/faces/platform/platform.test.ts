import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { queueEmail, queueMessage } from '../../domains/messaging/index.ts'
import { testInstance } from '../../testing/server.ts'

test('the landing page shows the publishable key and no secret one', async () => {
  const t = await testInstance()
  const text = await (await t.fetch('/')).text()
  expect(text).toContain(t.publishableKey)
  expect(text).not.toContain(t.secretKey)
})

test('the inbox shows the mail of its own development instance only', async () => {
  const [a, b, live] = await Promise.all([testInstance(), testInstance(), testInstance('production')])
  await transaction(a.ctx(), (tx) =>
    queueEmail(tx, { template: 'verification_code', to: 'ada@example.com', data: { code: '123456' } }),
  )
  const { data } = (await (await a.fetch('/inbox.json?to=ada@example.com')).json()) as {
    data: { id: string; code: string }[]
  }
  expect(data.map((m) => m.code)).toEqual(['123456'])
  const id = data[0]?.id
  expect((await a.fetch(`/inbox/${id}`)).status).toBe(200)
  expect((await b.fetch(`/inbox/${id}`)).status).toBe(404)
  expect(await (await b.fetch('/inbox.json')).json()).toEqual({ data: [] })
  for (const path of ['/inbox', '/inbox.json', `/inbox/${id}`, `/inbox/${id}/html`])
    expect((await live.fetch(path)).status).toBe(403)
})

test('O2 what people type is text in an email and on the page that shows it, and no script could run', async () => {
  const t = await testInstance()
  const name = '<script>alert(1)</script>"\'\r\nBcc: evil@example.com'
  await transaction(t.ctx(), (tx) =>
    queueEmail(tx, {
      template: 'organization_invitation',
      to: 'ada@example.com',
      data: { organizationName: name, inviterName: name, url: 'http://localhost/x' },
    }),
  )
  const { data } = (await (await t.fetch('/inbox.json')).json()) as {
    data: { id: string; subject: string; html: string }[]
  }
  expect(data[0]?.html).not.toContain('<script>')
  expect(data[0]?.subject).not.toMatch(/[\r\n]/)
  const shown = await t.fetch(`/inbox/${data[0]?.id}`)
  expect(await shown.text()).not.toContain('<script>alert')
  expect(shown.headers.get('content-security-policy')).toMatch(/script-src 'nonce-[^']+'/)
  expect(shown.headers.get('content-security-policy')).not.toContain('unsafe-inline')
  expect((await t.fetch(`/inbox/${data[0]?.id}/html`)).headers.get('content-security-policy')).toContain('sandbox')
})

test('serves the SDK files by major and exact version, and nothing outside of them', async () => {
  const t = await testInstance()
  const exact = await t.fetch('/npm/@clerk/clerk-js@6.34.1/dist/clerk.browser.js')
  expect(exact.status).toBe(200)
  expect(exact.headers.get('access-control-allow-origin')).toBe('*')
  expect(exact.headers.get('cache-control')).toContain('immutable')
  const major = await t.fetch('/npm/@clerk/ui@1/dist/ui.browser.js')
  expect([major.status, major.headers.get('cache-control')]).toEqual([200, 'public, max-age=300'])
  for (const path of [
    '/npm/@clerk/clerk-js@7/dist/clerk.browser.js',
    '/npm/@clerk/clerk-js@6/dist/..%2f..%2fpackage.json',
    '/npm/@clerk/clerk-js@6/dist/.js',
    '/npm/@evil/clerk-js@6/dist/clerk.browser.js',
    '/npm/@clerk/__proto__@6/dist/clerk.browser.js',
  ])
    expect((await t.fetch(path)).status).toBe(404)
})

test('serves the documentation, and no other file', async () => {
  const t = await testInstance()
  const own = /href="(\/docs\/[^"#]+)/g
  const contents = await (await t.fetch('/docs')).text()
  const links = [...contents.matchAll(own)].map(([, path]) => path as string)
  expect(links.length).toBeGreaterThan(25)
  // Every page, and every page that one of them leads to: what is not served is not linked.
  const seen = new Set(links)
  for (const path of seen) {
    const response = await t.fetch(path)
    expect([path, response.status]).toEqual([path, 200])
    const text = await response.text()
    expect([path, text.match(/href="(?!https?:|#|\/|data:|mailto:)[^"]*"/g)]).toEqual([path, null])
    for (const [, next] of text.matchAll(own)) seen.add(next as string)
  }
  expect((await t.fetch('/docs/images/demo.png')).headers.get('content-type')).toBe('image/png')
  for (const path of [
    '/docs/nothing.md',
    '/docs/images/nothing.png',
    '/docs/images/..%2f..%2fdemo.png',
    '/docs/..%2fREADME.md',
    '/docs/decisions/..%2f..%2fREADME.md',
    '/docs/x.txt',
  ])
    expect((await t.fetch(path)).status).toBe(404)
})

test('the inbox shows texts beside emails, by recipient', async () => {
  const t = await testInstance()
  await transaction(t.ctx(), async (tx) => {
    const code = { template: 'verification_code', data: { code: '123456' } } as const
    await queueMessage(tx, { channel: 'email', to: 'ada@example.com', ...code })
    await queueMessage(tx, { channel: 'sms', to: '+12025550143', ...code })
  })
  const { data } = (await (await t.fetch('/inbox.json')).json()) as { data: { channel: string; code: string }[] }
  expect(data.map((m) => [m.channel, m.code]).sort()).toEqual([
    ['email', '123456'],
    ['sms', '123456'],
  ])
  const only = await (await t.fetch(`/inbox?to=${encodeURIComponent('+12025550143')}`)).text()
  expect(only).toContain('>Text</span>')
  expect(only).not.toContain('>Email</span>')
})

test('templates are looked at and edited in development, from their own page only', async () => {
  const [t, live] = [await testInstance(), await testInstance('production')]
  expect(await (await t.fetch('/templates/email')).text()).toContain('Sign-in on a new device')
  expect(await (await t.fetch('/templates/email/invitation?locale=de')).text()).toContain('Einladung annehmen')
  expect(await (await t.fetch('/templates/email/invitation/preview?locale=de')).text()).toContain('Einladung zu ')
  const post = (fields: Record<string, string>, headers: Record<string, string>, path = '') =>
    t.fetch(`/templates/email/invitation${path}`, {
      method: 'POST',
      body: new URLSearchParams({ locale: 'de', subject: 'Los', body: 'Hier: {{url}}', ...fields }),
      headers,
    })
  const own = { origin: `http://${t.host}` }
  const others: Record<string, string>[] = [
    {},
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { ...own, 'sec-fetch-site': 'cross-site' },
  ]
  for (const headers of others)
    for (const path of ['', '/preview']) expect((await post({}, headers, path)).status).toBe(403)
  const preview = await post({ body: '<script>{{url}}' }, own, '/preview')
  expect(await preview.text()).toContain('&lt;script&gt;')
  expect(preview.headers.get('content-security-policy')).toContain('sandbox')
  const problem = await post({ body: 'no link' }, own)
  expect(await problem.text()).toContain('The body lacks {{url}}.')
  const saved = await post({}, own)
  expect([saved.status, saved.headers.get('location')]).toEqual([303, '/templates/email/invitation?locale=de&saved=1'])
  const page = await (await t.fetch('/templates/email/invitation?locale=de')).text()
  expect(page).toContain('Hier: {{url}}')
  await post({ revert: '1' }, own)
  expect(await (await t.fetch('/templates/email/invitation?locale=de')).text()).toContain('Einladung annehmen')
  for (const path of ['/templates/email', '/templates/email/invitation', '/templates/email/invitation/preview'])
    expect((await live.fetch(path)).status).toBe(403)
  expect((await t.fetch('/templates/email/nothing')).status).toBe(404)
})

test('what fails is a page where a person looks at it, and JSON for programs, with one status', async () => {
  const t = await testInstance()
  const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
  for (const path of ['/nothing/here', '/docs/nothing.md', '/v1/me', '/v1/tickets/accept?ticket=%3Cscript%3E']) {
    const shown = await t.fetch(path, { headers: browser })
    const told = await t.fetch(path)
    expect(shown.status).toBe(told.status)
    expect(shown.headers.get('content-type')).toContain('text/html')
    expect(told.headers.get('content-type')).toBe('application/json')
    const { errors } = (await told.json()) as { errors: { code: string }[] }
    const text = await shown.text()
    expect(text).toContain(errors[0]?.code ?? 'a code')
    expect(text).not.toContain('<script>')
  }
  const keyed = { ...browser, authorization: `Bearer ${t.secretKey}` }
  expect((await t.fetch('/v1/users/user_nobody', { headers: keyed })).headers.get('content-type')).toBe(
    'application/json',
  )
})

test('where no application is, links to its pages lead to the demo', async () => {
  const t = await testInstance()
  for (const [path, target] of [
    ['/sign-in', '/demo'],
    ['/sign-up?__clerk_ticket=a%26b', '/demo?__clerk_ticket=a%26b&sign-up=1'],
    ['/waitlist', '/demo?waitlist=1'],
  ] as const)
    expect([path, (await t.fetch(path, { redirect: 'manual' })).headers.get('location')]).toEqual([path, target])
})
