import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { createRoomLink } from '@usher/sync'
import type { Browser } from 'playwright-core'
import { startSyncServer } from '../realtime/support.ts'
import { chromiumPath, launchBrowser, newPerson, type Person, screenshot } from '../support/browser.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** An editor as people build it: CodeMirror, Yjs and the unmodified client of y-websocket, bundled for a browser. */
const staticToken = 'a token of thirty-two characters'
let browser: Browser
let app: ReturnType<typeof Bun.serve>
let open: Awaited<ReturnType<typeof startSyncServer>>
let closed: Awaited<ReturnType<typeof startSyncServer>>
let usher: UsherProcess
const tokens: string[] = []

beforeAll(async () => {
  if (!chromiumPath) return
  const bundle = await Bun.build({ entrypoints: [join(import.meta.dir, 'editor/page.ts')], target: 'browser' })
  const script = await bundle.outputs[0]?.text()
  ;[open, closed, usher, browser] = await Promise.all([
    startSyncServer(),
    startSyncServer({ args: ['--token', staticToken] }),
    startUsher(),
    launchBrowser(),
  ])
  app = Bun.serve({
    port: 0,
    async fetch(request) {
      const url = new URL(request.url)
      if (url.pathname === '/token') return token(url.searchParams)
      if (url.pathname === '/page.js') return new Response(script, { headers: { 'content-type': 'text/javascript' } })
      return new Response('<!doctype html><meta charset="utf-8"><body><script type="module" src="/page.js"></script>', {
        headers: { 'content-type': 'text/html' },
      })
    },
  })
}, 60_000)
afterAll(async () => {
  app?.stop(true)
  await Promise.all([browser?.close(), open?.stop(), closed?.stop(), usher?.stop()])
})

/** The application's server: it knows who may edit what. */
async function token(query: URLSearchParams): Promise<Response> {
  if (query.get('user') === 'stranger') return new Response('no', { status: 403 })
  const granted = await backend('sync_tokens', {
    doc_id: query.get('doc'),
    user_id: query.get('user'),
    access: 'write',
    expires_in_seconds: 60,
  })
  tokens.push(granted.token as string)
  return Response.json({ url: granted.url, token: granted.token })
}

async function backend(path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${usher.ready.url}/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${usher.ready.secret_key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Record<string, unknown>
}

async function newUser(): Promise<string> {
  const { id } = await backend('users', {
    email_address: [`${crypto.randomUUID()}@example.com`],
    skip_password_requirement: true,
  })
  return id as string
}

async function openEditor(name: string, { hash = '', ...query }: Record<string, string>): Promise<Person> {
  const person = await newPerson(browser, name)
  await person.page.goto(`http://localhost:${app.port}/?${new URLSearchParams({ name, ...query })}${hash}`)
  return person
}

type Editor = {
  view: { state: { doc: { length: number; toString(): string } } }
  provider: { connect(): void; disconnect(): void }
}

const isSynced = ({ page }: Person) => page.waitForSelector('body[data-synced="true"]')
const type = async ({ page }: Person, text: string) => {
  await page.locator('.cm-content').click()
  await page.keyboard.press('Control+End')
  await page.keyboard.type(text)
}
const contentOf = ({ page }: Person) => page.evaluate(() => document.querySelector('.cm-content')?.textContent ?? '')
async function shows(person: Person, text: string): Promise<void> {
  await person.page.waitForFunction((t) => document.querySelector('.cm-content')?.textContent?.includes(t), text)
}

/** Two people in two browser profiles write into one document, see each other's cursor, and a third finds it all. */
async function editTogether(what: string, query: (name: string) => Promise<Record<string, string>>): Promise<void> {
  const ada = await openEditor('Ada', await query('Ada'))
  const bob = await openEditor('Bob', await query('Bob'))
  await Promise.all([isSynced(ada), isSynced(bob)])
  await type(ada, 'Ada was here. ')
  await shows(bob, 'Ada was here. ')
  await type(bob, 'Bob, too. ')
  await shows(ada, 'Bob, too. ')
  await Promise.all([type(ada, 'aaaaaaaaaa'), type(bob, 'bbbbbbbbbb')])
  // Where the two runs meet is chance; that all of it is there for both is not.
  const whole = 'Ada was here. Bob, too. '.length + 20
  for (const { page } of [ada, bob])
    await page.waitForFunction((length) => (window as never as Editor).view.state.doc.length === length, whole)
  const lineOf = ({ page }: Person) => page.evaluate(() => (window as never as Editor).view.state.doc.toString())
  const text = await lineOf(ada)
  expect([...text].sort().join('')).toBe(
    [...`Ada was here. Bob, too. ${'a'.repeat(10)}${'b'.repeat(10)}`].sort().join(''),
  )
  expect(await lineOf(bob)).toBe(text)
  await ada.page.waitForSelector('.cm-ySelectionInfo:has-text("Bob")', { state: 'attached' })
  await bob.page.waitForSelector('.cm-ySelectionInfo:has-text("Ada")', { state: 'attached' })
  await screenshot(ada, `editor-${what}`)
  const late = await openEditor('Late', await query('Late'))
  await isSynced(late)
  await late.page.waitForFunction((t) => (window as never as Editor).view.state.doc.toString() === t, text)
  for (const { problems, context } of [ada, bob, late]) {
    expect(problems).toEqual([])
    await context.close()
  }
}

describe.skipIf(!chromiumPath)('an editor on the unmodified y-websocket', () => {
  test('whoever has the URL edits', async () => {
    await editTogether('open', async () => ({ gradation: 'open', url: open.wsUrl, doc: 'notes' }))
  }, 60_000)

  test('whoever has the URL and the token edits', async () => {
    const query = { gradation: 'static', url: closed.wsUrl, doc: 'notes' }
    await editTogether('static', async () => ({ ...query, token: staticToken }))
    const stranger = await openEditor('Mallory', { ...query, token: 'not the one' })
    await Bun.sleep(500)
    expect(await contentOf(stranger)).toBe('')
    await stranger.context.close()
  }, 60_000)

  test('whoever gets a token from the app edits; it is in no address, and each connection asks for another', async () => {
    const url = `${usher.ready.url.replace(/^http/, 'ws')}/sync`
    const query = { gradation: 'get-token', url, doc: 'app/notes' }
    await editTogether('get-token', async () => ({ ...query, user: await newUser() }))
    expect(new Set(tokens).size).toBe(3)

    const ada = await openEditor('Ada', { ...query, user: await newUser() })
    const sockets: string[] = []
    ada.page.on('websocket', (socket) => sockets.push(socket.url()))
    await isSynced(ada)
    await ada.page.evaluate(() => {
      const { provider } = window as never as Editor
      provider.disconnect()
      document.body.removeAttribute('data-synced')
      provider.connect()
    })
    await isSynced(ada)
    expect(tokens.length).toBe(5)
    expect(new Set(sockets)).toEqual(new Set([`${url}/app/notes`]))
    await ada.context.close()
  }, 60_000)

  test('whom the app refuses a token is told so, and does not try again', async () => {
    const url = `${usher.ready.url.replace(/^http/, 'ws')}/sync`
    const stranger = await openEditor('Mallory', { gradation: 'get-token', url, doc: 'app/notes', user: 'stranger' })
    await stranger.page.waitForSelector('body[data-closed="4403"]')
    expect(await contentOf(stranger)).toBe('')
    await stranger.context.close()
  }, 60_000)

  const passphrase = 'correct horse battery staple'

  test('encrypted with a passphrase, for whoever has the URL; a wrong passphrase opens nothing', async () => {
    const query = { gradation: 'open', url: open.wsUrl, doc: 'secret-notes', passphrase }
    await editTogether('open-encrypted', async () => query)
    const stranger = await openEditor('Mallory', { ...query, passphrase: 'wrong horse' })
    await stranger.page.waitForSelector('body[data-closed="4401"]')
    expect(await contentOf(stranger)).toBe('')
    await stranger.context.close()
    // Without a key the document is of another kind.
    const plain = await openEditor('Peggy', { gradation: 'open', url: open.wsUrl, doc: 'secret-notes' })
    await plain.page.waitForSelector('body[data-closed="4409"]')
    await plain.context.close()
  }, 60_000)

  test('encrypted with the secret of a link, for whoever has the token', async () => {
    const doc = 'secret-link'
    const { link } = await createRoomLink(`http://localhost:${app.port}/`, { url: closed.wsUrl, docId: doc })
    const { hash } = new URL(link)
    const query = { gradation: 'static', url: closed.wsUrl, doc, token: staticToken, hash }
    await editTogether('static-encrypted', async () => query)
  }, 60_000)

  test('encrypted with a passphrase, for whoever gets a token from the app', async () => {
    const url = `${usher.ready.url.replace(/^http/, 'ws')}/sync`
    const query = { gradation: 'get-token', url, doc: 'app/secret-notes', passphrase }
    await editTogether('get-token-encrypted', async () => ({ ...query, user: await newUser() }))
  }, 60_000)
})
