import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { startSyncServer } from '../realtime/support.ts'
import { type Member, member } from '../realtime/vault-support.ts'
import { chromiumPath, launchBrowser } from '../support/browser.ts'

/** The vault in a browser: passkeys that open it, and codes that one screen shows and another device reads. */
let browser: Browser
let app: ReturnType<typeof Bun.serve>
const signedIn = new Map<string, Pick<Member, 'getSessionToken' | 'getToken'> & { host: string }>()

beforeAll(async () => {
  if (!chromiumPath) return
  const entrypoints = [join(import.meta.dir, 'vault/page.ts')]
  const bundle = await Bun.build({ entrypoints, target: 'browser' })
  const script = await (bundle.outputs[0] as Blob).text()
  browser = await launchBrowser()
  const html = `<!doctype html><meta charset="utf-8"><input id="password"><input id="camera" type="file">
    <button id="confirm">confirm</button><div id="code" style="width:280px"></div>
    ${['content', 'status', 'saved', 'digits', 'scanned', 'done', 'failed'].map((id) => `<output id="${id}"></output>`).join('')}
    <script type="module" src="/page.js"></script>`
  app = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url)
      const person = signedIn.get(searchParams.get('who') ?? '')
      if (pathname === '/token') return new Response(await person?.getSessionToken())
      if (pathname === '/sync-token') {
        const { token } = (await person?.getToken(searchParams.get('doc') ?? '')) ?? {}
        return Response.json({ url: `ws://${person?.host}/sync`, token })
      }
      const [body, type] = pathname === '/page.js' ? [script, 'text/javascript'] : [html, 'text/html']
      return new Response(body, { headers: { 'content-type': type } })
    },
  })
}, 60_000)
afterAll(async () => {
  app?.stop(true)
  await browser?.close()
})

const address = (query: Record<string, string>) => `http://localhost:${app.port}/?${new URLSearchParams(query)}`

async function open(context: BrowserContext, query: Record<string, string>): Promise<Page> {
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  await page.goto(address(query))
  await page.waitForSelector('body[data-ready]')
  return page
}

const shows = (page: Page, id: string, text: string) =>
  page.waitForFunction(
    ([id, text]) => {
      const failed = document.getElementById('failed')?.textContent
      if (failed) throw new Error(failed)
      return document.getElementById(id as string)?.textContent === text
    },
    [id, text],
  )

async function press(page: Page, id: string) {
  await page.click(`#${id}`)
  await shows(page, 'done', id)
}

async function authenticator(page: Page, more = {}): Promise<{ devtools: CDPSession; authenticatorId: string }> {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      ...{ protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasPrf: true },
      ...{ hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true, ...more },
    },
  })
  return { devtools, authenticatorId }
}

/** Somebody with an instance of their own, signed in as `who`. */
async function personOf(who: string) {
  const t = await testInstance()
  // Tokens are for the application that asks for them.
  const person = await member(t, who, `http://localhost:${app.port}`)
  signedIn.set(who, { ...person, host: t.host })
  const signInElsewhere = async () =>
    signedIn.set(`${who}-elsewhere`, { ...(await person.signInElsewhere()), host: t.host })
  return { signInElsewhere, query: { url: `http://${t.host}`, doc: `${person.userId}/diary`, who } }
}

describe.skipIf(!chromiumPath)('a vault in the browser', () => {
  test('L5 is opened on a new device by a passkey alone, and the document with it', async () => {
    const { signInElsewhere, query } = await personOf('ada')
    const context = await browser.newContext()
    const page = await open(context, query)
    // One that is carried from device to device. What it computes with cannot be taken out of it, not even by a test.
    const { devtools, authenticatorId } = await authenticator(page, { transport: 'usb' })
    await page.fill('#password', 'a long vault password')
    await press(page, 'create')
    await shows(page, 'status', 'synced')
    await press(page, 'add-passkey')
    await press(page, 'write')
    await shows(page, 'saved', 'yes')
    // A second one of the same vault on the same key would put the first out of use.
    await page.click('#add-passkey')
    await page.waitForFunction(() => document.getElementById('failed')?.textContent?.includes('InvalidStateError'))

    // The new device: another session, and nothing of the old one but the security key that is put into it.
    await signInElsewhere()
    const { credentials } = await devtools.send('WebAuthn.getCredentials', { authenticatorId })
    await page.evaluate(() => localStorage.clear())
    await context.clearCookies()
    await page.goto(address({ ...query, who: 'ada-elsewhere' }))
    await page.waitForSelector('body[data-ready]')
    expect(await page.locator('#content').textContent()).toBe('')
    await press(page, 'unlock-passkey')
    await shows(page, 'content', 'written on the laptop')

    // Whoever has a copy of the passkey for signing in, but not the secret within it, opens nothing.
    const thief = await open(await browser.newContext(), query)
    const copy = await authenticator(thief)
    for (const credential of credentials)
      await copy.devtools.send('WebAuthn.addCredential', { authenticatorId: copy.authenticatorId, credential })
    await thief.click('#unlock-passkey')
    await thief.waitForFunction(() => document.getElementById('failed')?.textContent?.includes('passkey_unsupported'))
    await Promise.all([context.close(), thief.context().close()])
  }, 60_000)

  test('L5 a passkey that gives no secret is refused before anything is stored', async () => {
    const { query } = await personOf('bob')
    const page = await open(await browser.newContext(), query)
    await authenticator(page, { hasPrf: false })
    await page.fill('#password', 'a long vault password')
    await press(page, 'create')
    await page.click('#add-passkey')
    await page.waitForFunction(() => document.getElementById('failed')?.textContent?.includes('passkey_unsupported'))
    await page.click('#unlock-passkey')
    await page.waitForFunction(() => document.getElementById('failed')?.textContent?.includes('resource_not_found'))
    await page.context().close()
  }, 60_000)

  test('the code that one screen draws is read by another device, which opens the document with it', async () => {
    const server = await startSyncServer()
    const [one, two] = await Promise.all([browser.newContext(), browser.newContext()])
    const laptop = await open(one, { sync: server.wsUrl, doc: 'by-picture' })
    await press(laptop, 'share-by-code')
    await shows(laptop, 'status', 'synced')
    await press(laptop, 'write')
    await shows(laptop, 'saved', 'yes')
    // The phone knows no address, no document and no key: all of it is in the picture.
    const phone = await open(two, { scans: 'room' })
    await photograph(laptop, phone)
    await shows(phone, 'content', 'written on the laptop')
    await Promise.all([one.close(), two.close(), server.stop()])
  }, 60_000)

  test('L8 a new device is let in by the picture that it draws, once both show the same digits', async () => {
    const { signInElsewhere, query } = await personOf('carol')
    await signInElsewhere()
    const [one, two] = await Promise.all([browser.newContext(), browser.newContext()])
    const old = await open(one, query)
    await old.fill('#password', 'a long vault password')
    await press(old, 'create')
    await shows(old, 'status', 'synced')
    await press(old, 'write')
    await shows(old, 'saved', 'yes')
    const fresh = await open(two, { ...query, who: 'carol-elsewhere' })
    await press(fresh, 'ask-to-be-let-in')
    await photograph(fresh, old)
    await old.waitForFunction(() => /^\d{6}$/.test(document.getElementById('digits')?.textContent ?? ''))
    await shows(fresh, 'digits', (await old.locator('#digits').textContent()) ?? '')
    expect(await fresh.locator('#content').textContent()).toBe('')
    await old.click('#confirm')
    await shows(fresh, 'content', 'written on the laptop')
    await Promise.all([one.close(), two.close()])
  }, 60_000)
})

/** Holds the camera of one device before the screen of another. */
async function photograph(screen: Page, device: Page) {
  await screen.waitForSelector('#code svg')
  const buffer = await screen.screenshot()
  await device.setInputFiles('#camera', { name: 'picture.png', mimeType: 'image/png', buffer })
}
