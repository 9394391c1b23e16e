import { expect, test } from 'bun:test'
import { png } from '../../domains/images/testing.ts'
import { testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

type Body = string | FormData | Uint8Array<ArrayBuffer>

async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  await browser.signUp('ada@example.com')
  /** As the browser SDK uploads: forms for files, `application/octet-stream` for strings. */
  const upload = async (method: string, path: string, body?: Body, type?: string) => {
    const response = await t.fetch(`/v1${path}?_method=${method}`, {
      method: 'POST',
      ...(body !== undefined && { body }),
      headers: {
        origin: 'http://localhost:3000',
        cookie: [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(type && { 'content-type': type }),
      },
    })
    // biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
    return { status: response.status, body: (await response.json()) as any }
  }
  return { t, browser, upload }
}

function form(bytes: Uint8Array, name = 'me.png', type = 'image/png') {
  const made = new FormData()
  made.append('file', new File([new Uint8Array(bytes)], name, { type }))
  return made
}

test('a profile image is uploaded as a form, as base64 and as a data URL, and removed', async () => {
  const { t, browser, upload } = await signedIn()
  const base64 = Buffer.from(png(40, 30)).toString('base64')
  const bodies: [Body, string | undefined][] = [
    [form(png(40, 30)), undefined],
    [base64, 'application/octet-stream'],
    [`data:image/png;base64,${base64}`, 'application/octet-stream'],
    [new Uint8Array(png(40, 30)), 'application/octet-stream'],
  ]
  const urls = new Set<string>()
  for (const [body, type] of bodies) {
    const done = await upload('POST', '/me/profile_image', body, type)
    expect(done.body).toMatchObject({ response: { object: 'image', id: expect.stringMatching(/^img_/) } })
    const { public_url: url } = done.body.response
    const user = done.body.client.sessions[0].user
    expect(user).toMatchObject({ image_url: url, has_image: true })
    const served = await t.fetch(new URL(url).pathname)
    expect(await new Bun.Image(await served.bytes()).metadata()).toEqual({ width: 40, height: 30, format: 'webp' })
    urls.add(url)
  }
  expect(urls.size).toBe(bodies.length)
  const removed = await upload('DELETE', '/me/profile_image')
  expect(removed.body.response).toMatchObject({ object: 'image', deleted: true })
  const { response } = (await browser.get('/me')).body
  expect(response).toMatchObject({ has_image: false, image_url: expect.stringContaining('avatar_placeholder') })
})

test('what is no picture, too large, or missing is refused with the code that the form shows', async () => {
  const { upload } = await signedIn()
  const cases: [Body, string | undefined, number, string][] = [
    [form(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')), undefined, 400, 'avatar_file_type_invalid'],
    [form(Buffer.from('%PDF-1.7'), 'me.png'), undefined, 400, 'avatar_file_type_invalid'],
    ['bm90IGEgcGljdHVyZQ==', 'application/octet-stream', 400, 'avatar_file_type_invalid'],
    ['', 'application/octet-stream', 400, 'avatar_file_type_invalid'],
    [form(new Uint8Array(10 * 1024 * 1024 + 1)), undefined, 413, 'avatar_file_size_exceeded'],
    [new Uint8Array(14_900_000), 'application/octet-stream', 413, 'avatar_file_size_exceeded'],
    [new FormData(), undefined, 422, 'form_param_missing'],
    ['file=x', 'application/x-www-form-urlencoded', 400, 'request_body_invalid'],
    ['garbage', 'multipart/form-data; boundary=x', 400, 'request_body_invalid'],
  ]
  for (const [body, type, status, code] of cases) {
    const refused = await upload('POST', '/me/profile_image', body, type)
    expect([refused.status, refused.body.errors?.[0]?.code]).toEqual([status, code])
  }
})

test('a logo is set and removed by who manages the organization, and by nobody else', async () => {
  const { t, browser, upload } = await signedIn()
  const { id } = (await browser.post('/organizations', { name: 'Frontiers' })).body.response
  const set = await upload('PUT', `/organizations/${id}/logo`, form(png(900, 300)))
  expect(set.body.response).toMatchObject({ object: 'organization', id, has_image: true })
  const served = await t.fetch(new URL(set.body.response.image_url).pathname)
  expect(await new Bun.Image(await served.bytes()).metadata()).toMatchObject({ width: 512, height: 171 })
  const membership = set.body.client.sessions[0].user.organization_memberships[0]
  expect(membership.organization.image_url).toBe(set.body.response.image_url)
  const stranger = new TestBrowser(t)
  await stranger.signUp('eve@example.com')
  const cookie = [...stranger.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  for (const method of ['PUT', 'DELETE']) {
    const refused = await t.fetch(`/v1/organizations/${id}/logo?_method=${method}`, {
      method: 'POST',
      ...(method === 'PUT' && { body: form(png(9, 9)) }),
      headers: { origin: 'http://localhost:3000', cookie },
    })
    expect(refused.status).toBe(404)
  }
  const removed = await upload('DELETE', `/organizations/${id}/logo`)
  expect(removed.body.response).toMatchObject({ object: 'organization', has_image: false })
})

test('nobody signed in uploads nothing', async () => {
  const t = await testInstance()
  const refused = await t.fetch('/v1/me/profile_image', { method: 'POST', body: form(png(9, 9)) })
  expect(refused.status).toBe(401)
})
