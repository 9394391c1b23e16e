import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'

async function backend() {
  const t = await testInstance()
  const call = async (method: string, path: string, body?: object) => {
    const response = await t.fetch(`/v1/templates${path}`, {
      method,
      secretKey: true,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    // biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
    return { status: response.status, body: (await response.json()) as any }
  }
  return { t, call }
}

test('templates are listed, read, changed, previewed and reverted, each language by itself', async () => {
  const { call } = await backend()
  const emails = (await call('GET', '/email')).body
  expect(emails.map((x: { slug: string }) => x.slug)).toContain('organization_invitation')
  expect((await call('GET', '/sms')).body.map((x: { slug: string }) => x.slug)).toEqual([
    'verification_code',
    'reset_password_code',
  ])
  expect((await call('GET', '/email?paginated=true&limit=2')).body).toMatchObject({
    data: [{ position: 0 }, { position: 1 }],
    total_count: emails.length,
  })
  const shipped = (await call('GET', '/email/invitation')).body
  expect(shipped).toMatchObject({
    object: 'template',
    template_type: 'email',
    resource_type: 'system',
    can_revert: false,
    locale: 'en',
    required_variables: ['url'],
  })
  const text = { subject: 'Komm zu {{application_name}}', body: 'Hallo!\n\n[Los]({{url}})', locale: 'de' }
  expect((await call('PUT', '/email/invitation', text)).body).toMatchObject({
    resource_type: 'user',
    can_revert: true,
    ...text,
  })
  expect((await call('GET', '/email/invitation')).body).toEqual(shipped)
  const preview = (await call('POST', '/email/invitation/preview', { locale: 'de' })).body
  expect(preview.subject).toStartWith('Komm zu ')
  expect(preview.body).toContain('>Los</a>')
  expect(preview.text).toContain('Los: https://example.com/')
  const draft = { subject: 'Draft', body: '<b>bold</b> {{url}}' }
  const drafted = (await call('POST', '/email/invitation/preview', draft)).body
  expect(drafted.subject).toBe('Draft')
  expect(drafted.body).toContain('&lt;b&gt;bold&lt;/b&gt;')
  expect((await call('GET', '/email/invitation')).body).toEqual(shipped)
  expect((await call('POST', '/email/invitation/revert', { locale: 'de' })).body).toMatchObject({
    resource_type: 'system',
    subject: 'Einladung zu {{application_name}}',
  })
  expect((await call('POST', '/sms/verification_code/preview', {})).body.body).toContain('123456')
})

test('refuses what is no template and what could not work', async () => {
  const { t, call } = await backend()
  const cases: [string, string, object | undefined, number, string][] = [
    ['GET', '/fax', undefined, 404, 'resource_not_found'],
    ['GET', '/email/constructor', undefined, 404, 'resource_not_found'],
    ['GET', '/sms/invitation', undefined, 404, 'resource_not_found'],
    ['GET', '/email/invitation?locale=..%2F', undefined, 422, 'form_param_value_invalid'],
    ['PUT', '/email/invitation', { subject: 'x', body: 'no link' }, 422, 'form_param_value_invalid'],
    ['PUT', '/email/invitation', { subject: 'x' }, 422, 'form_param_nil'],
    ['PUT', '/email/invitation', { subject: 'x', body: '{{url}} {{secret}}' }, 422, 'form_param_value_invalid'],
    ['POST', '/email/invitation/preview', { body: '{{url' }, 422, 'form_param_value_invalid'],
  ]
  for (const [method, path, body, status, code] of cases) {
    const refused = await call(method, path, body)
    expect([path, refused.status, refused.body.errors?.[0]?.code]).toEqual([path, status, code])
  }
  expect((await t.fetch('/v1/templates/email')).status).not.toBe(200)
})
