import { afterEach, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** A provider of text messages and a storage of objects, as much of both as the server meets. */
function standIn() {
  const texts: URLSearchParams[] = []
  const objects = new Map<string, Uint8Array>()
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname === '/2010-04-01/Accounts/AC1/Messages.json') {
        texts.push(new URLSearchParams(await request.text()))
        return Response.json({ sid: 'SM1' }, { status: 201 })
      }
      if (request.method === 'PUT') objects.set(pathname, await request.bytes())
      const found = objects.get(pathname)
      return found ? new Response(new Uint8Array(found)) : new Response('', { status: 404 })
    },
  })
  open.push(() => server.stop(true))
  return { url: `http://127.0.0.1:${server.port}`, texts, objects }
}

test('a provider of texts and a bucket from the environment are used', async () => {
  const { url: provider, texts, objects } = standIn()
  const usher = await startUsher({
    env: {
      USHER_SMS_URL: provider,
      USHER_SMS_ACCOUNT: 'AC1',
      USHER_SMS_SECRET: 'a secret',
      USHER_SMS_FROM: '+15550009999',
      USHER_S3_ENDPOINT: provider,
      USHER_S3_BUCKET: 'pictures',
      USHER_S3_ACCESS_KEY: 'key',
      USHER_S3_SECRET_KEY: 'secret',
    },
  })
  open.push(() => usher.stop())
  const { url, secret_key: secretKey, data } = usher.ready
  using folder = temporaryDirectory()
  const file = join(folder.path, 'settings.json')
  writeFileSync(file, JSON.stringify({ phoneNumber: { use: 'optional' } }))
  const { code, stderr } = await runUsher(['instances', 'settings', 'development', '--set', file, '--data', data])
  expect([code, stderr]).toEqual([0, expect.anything()])

  const authorization = `Bearer ${secretKey}`
  const phoneNumber = '+4915211223344'
  const made = await fetch(`${url}/v1/users`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ phone_number: [phoneNumber], skip_password_requirement: true }),
  })
  const user = (await made.json()) as { id: string; phone_numbers: { id: string }[] }

  // As an app on a phone signs in: its token travels in the header.
  let token = ''
  const post = async (path: string, form: Record<string, string>) => {
    const response = await fetch(`${url}/v1${path}?_is_native=1`, {
      method: 'POST',
      headers: token ? { authorization: token } : {},
      body: new URLSearchParams(form),
    })
    token = response.headers.get('authorization') ?? token
    return (await response.json()) as { response: { id: string; status: string } }
  }
  let signIn = await post('/client/sign_ins', { identifier: phoneNumber })
  // The running server hears of the settings within a moment.
  for (let i = 0; i < 50 && !signIn.response; i += 1) {
    await Bun.sleep(100)
    signIn = await post('/client/sign_ins', { identifier: phoneNumber })
  }
  const { id } = signIn.response
  await post(`/client/sign_ins/${id}/prepare_first_factor`, {
    strategy: 'phone_code',
    phone_number_id: user.phone_numbers[0]?.id ?? '',
  })
  for (let i = 0; i < 100 && texts.length === 0; i += 1) await Bun.sleep(50)
  expect(texts[0]?.get('To')).toBe(phoneNumber)
  const sent = texts[0]?.get('Body')?.match(/\d{6}/)?.[0] ?? ''
  const done = await post(`/client/sign_ins/${id}/attempt_first_factor`, { strategy: 'phone_code', code: sent })
  expect(done.response.status).toBe('complete')

  const form = new FormData()
  form.append('file', new Blob([Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')]))
  const pictured = await fetch(`${url}/v1/users/${user.id}/profile_image`, {
    method: 'POST',
    headers: { authorization },
    body: form,
  })
  const { image_url: imageUrl } = (await pictured.json()) as { image_url: string }
  expect([...objects.keys()]).toEqual([expect.stringMatching(/^\/pictures\/ins_\w+\/img_\w+$/)])
  expect((await fetch(imageUrl)).headers.get('content-type')).toBe('image/webp')
}, 60_000)
