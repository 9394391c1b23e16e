import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { chat, signedIn } from '../realtime/channels-support.ts'
import { startSyncServer } from '../realtime/support.ts'
import { chromiumPath, launchBrowser } from '../support/browser.ts'

/** The hooks for React, and documents that stay in the browser, in the browser. */
let browser: Browser
let app: ReturnType<typeof Bun.serve>
let server: Awaited<ReturnType<typeof startSyncServer>>
/** Session tokens, as an application's server would hand them to its pages. */
let tokenOf: (who: string) => Promise<string> = async () => ''

beforeAll(async () => {
  if (!chromiumPath) return
  const bundle = await Bun.build({
    entrypoints: ['page', 'channel'].map((name) => join(import.meta.dir, `sync-client/${name}.tsx`)),
    target: 'browser',
    define: { 'process.env.NODE_ENV': '"production"' },
  })
  const scripts = await Promise.all(bundle.outputs.map((output) => output.text()))
  ;[server, browser] = await Promise.all([startSyncServer(), launchBrowser()])
  app = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url)
      if (pathname === '/token') return new Response(await tokenOf(searchParams.get('who') ?? ''))
      const script = ['/page.js', '/channel.js'].indexOf(pathname)
      if (script >= 0) return new Response(scripts[script], { headers: { 'content-type': 'text/javascript' } })
      const name = searchParams.has('channel') ? 'channel' : 'page'
      const html = `<!doctype html><meta charset="utf-8"><div id="root"></div><script type="module" src="/${name}.js"></script>`
      return new Response(html, { headers: { 'content-type': 'text/html' } })
    },
  })
}, 60_000)
afterAll(async () => {
  app?.stop(true)
  await Promise.all([browser?.close(), server?.stop()])
})

async function open(
  context: BrowserContext,
  query: Record<string, string>,
): Promise<{ page: Page; problems: string[] }> {
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  await page.goto(`http://localhost:${app.port}/?${new URLSearchParams({ url: server.wsUrl, ...query })}`)
  return { page, problems }
}
const shows = (page: Page, id: string, text: string) =>
  page.waitForFunction(([id, text]) => document.getElementById(id as string)?.textContent === text, [id, text])

describe.skipIf(!chromiumPath)('the client in a browser', () => {
  for (const passphrase of [undefined, 'correct horse'])
    test(`hooks show a document, who is in it and what is saved${passphrase ? ', encrypted' : ''}; it stays in the browser`, async () => {
      const query = { doc: passphrase ? 'hooks-encrypted' : 'hooks', ...(passphrase && { passphrase }) }
      const [one, two] = await Promise.all([browser.newContext(), browser.newContext()])
      const ada = await open(one, { ...query, name: 'Ada' })
      await ada.page.waitForSelector('main[data-synced="true"]')
      await ada.page.click('button')
      await ada.page.waitForSelector('main[data-unsaved="false"]')
      const bob = await open(two, { ...query, name: 'Bob' })
      await shows(bob.page, 'content', 'Ada ')
      await shows(ada.page, 'others', 'Bob')
      await shows(bob.page, 'others', 'Ada')
      await bob.page.click('button')
      await shows(ada.page, 'content', 'Ada Bob ')
      // Without a network: what was here is here, and what is written is not lost by a reload.
      await ada.page.close()
      const alone = await one.newPage()
      await alone.routeWebSocket(/sync/, (socket) => socket.close())
      const address = `http://localhost:${app.port}/?${new URLSearchParams({ ...query, name: 'Ada', url: server.wsUrl })}`
      await alone.goto(address)
      await shows(alone, 'content', 'Ada Bob ')
      await alone.click('button')
      await shows(alone, 'content', 'Ada Bob Ada ')
      await alone.waitForTimeout(1000)
      await alone.reload()
      await shows(alone, 'content', 'Ada Bob Ada ')
      await alone.close()
      const back = await open(one, { ...query, name: 'Ada' })
      await shows(bob.page, 'content', 'Ada Bob Ada ')
      await back.page.waitForSelector('main[data-unsaved="false"]')
      expect([...ada.problems, ...bob.problems, ...back.problems]).toEqual([])
      await Promise.all([one.close(), two.close()])
    }, 60_000)

  test('a hook shows what is said in a channel and who is there, and goes on after the network was away', async () => {
    const t = await testInstance()
    const { channel, ada, bob } = await chat(t)
    const people = { ada: await signedIn(t, ada.id), bob: await signedIn(t, bob.id) }
    // Tokens are for the page that asks.
    for (const { browser } of Object.values(people)) browser.origin = app.url.origin
    tokenOf = (who) => people[who as keyof typeof people].token()
    const query = { channel, url: `ws://${t.host}/realtime` }
    const [one, two] = await Promise.all([browser.newContext(), browser.newContext()])
    const [adas, bobs] = [await open(one, { ...query, name: 'ada' }), await open(two, { ...query, name: 'bob' })]
    for (const { page } of [adas, bobs]) {
      await page.waitForSelector('main[data-status="joined"]')
      await shows(page, 'others', '2')
    }
    await bobs.page.click('button')
    await shows(adas.page, 'content', 'bob was here')
    await one.setOffline(true)
    await bobs.page.click('button')
    await shows(bobs.page, 'content', 'bob was here; bob was here')
    await one.setOffline(false)
    await shows(adas.page, 'content', 'bob was here; bob was here')
    await bobs.page.close()
    await shows(adas.page, 'others', '1')
    expect([...adas.problems, ...bobs.problems]).toEqual([])
    await Promise.all([one.close(), two.close()])
  }, 60_000)
})
