import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser, BrowserContext, WebSocketRoute } from 'playwright-core'
import { generous, startSyncServer } from '../realtime/support.ts'
import { chromiumPath, launchBrowser } from '../support/browser.ts'
import type { Tab } from './tabs/page.ts'

/** Tabs of one browser: those of the stock client also tell each other what they write, beside the server. */
let browser: Browser
let app: ReturnType<typeof Bun.serve>
let server: Awaited<ReturnType<typeof startSyncServer>>

beforeAll(async () => {
  if (!chromiumPath) return
  const bundle = await Bun.build({ entrypoints: [join(import.meta.dir, 'tabs/page.ts')], target: 'browser' })
  const script = await (bundle.outputs[0] as Blob).text()
  ;[server, browser] = await Promise.all([startSyncServer({ env: generous }), launchBrowser()])
  app = Bun.serve({
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname === '/page.js'
        ? new Response(script, { headers: { 'content-type': 'text/javascript' } })
        : new Response('<!doctype html><meta charset="utf-8"><body><script type="module" src="/page.js"></script>', {
            headers: { 'content-type': 'text/html' },
          }),
  })
}, 60_000)
afterAll(async () => {
  app?.stop(true)
  await Promise.all([browser?.close(), server?.stop()])
})

type Kind = 'stock' | 'ours'

async function openTab(context: BrowserContext, doc: string, name: string, client: Kind) {
  const page = await context.newPage()
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  let isOffline = false
  const open = new Set<WebSocketRoute>()
  await page.routeWebSocket(/\/sync\//, (socket) => {
    if (isOffline) return void socket.close()
    socket.connectToServer()
    open.add(socket)
  })
  await page.goto(`http://localhost:${app.port}/?${new URLSearchParams({ url: server.wsUrl, doc, name, client })}`)
  await page.waitForSelector('body[data-ready]', { state: 'attached' })
  return {
    page,
    problems,
    state: () => page.evaluate(() => (window as unknown as { tab: Tab }).tab.state()),
    write: (count: number) => page.evaluate((count) => (window as unknown as { tab: Tab }).tab.write(count), count),
    move: () => page.evaluate(() => (window as unknown as { tab: Tab }).tab.move()),
    setOffline: async (offline: boolean) => {
      isOffline = offline
      if (offline) await Promise.all([...open].map((socket) => socket.close()))
      open.clear()
    },
  }
}
type OpenTab = Awaited<ReturnType<typeof openTab>>

async function agree(
  tabs: OpenTab[],
  holds: (states: Awaited<ReturnType<OpenTab['state']>>[]) => boolean,
  what: string,
) {
  for (const deadline = Date.now() + 15_000; ; await Bun.sleep(50)) {
    const states = await Promise.all(tabs.map((tab) => tab.state()))
    if (holds(states)) return states
    if (Date.now() > deadline)
      throw new Error(`not ${what}: ${JSON.stringify(states.map(({ log, names }) => [log.length, names]))}`)
  }
}
const isSame = (states: { text: string; log: string[]; isSaved: boolean }[], length: number) =>
  states.every(({ text, log, isSaved }) => isSaved && log.length === length && text === states[0]?.text)

test.skipIf(!chromiumPath)(
  'tabs of one browser that also talk to each other, and tabs that do not, have each edit once and see who is there',
  async () => {
    const context = await browser.newContext()
    const names = ['a', 'b', 'c', 'd']
    const tabs = await Promise.all(names.map((name) => openTab(context, 'tabs', name, name < 'c' ? 'stock' : 'ours')))
    const everybody = (states: { names: string[] }[], there: string[]) =>
      states.every(({ names }) => names.join() === there.join())
    await agree(tabs, (states) => everybody(states, names), 'seen by all')
    await Promise.all(tabs.map((tab) => tab.write(40)))
    await agree(tabs, (states) => isSame(states, 160), 'the same')

    // One loses the server and not its neighbour, which builds upon what only the two of them have.
    const [a, b] = tabs as [OpenTab, OpenTab, OpenTab, OpenTab]
    await a.setOffline(true)
    await a.write(15)
    await agree([a, b], ([, neighbour]) => neighbour?.log.includes('a-54') === true, 'told to the neighbour')
    await Promise.all(tabs.slice(1).map((tab) => tab.write(15)))
    await a.setOffline(false)
    const states = await agree(tabs, (states) => isSame(states, 220), 'the same again')
    const expected = names.flatMap((name) => Array.from({ length: 55 }, (_, i) => `${name}-${i}`))
    for (const { log } of states) {
      expect([...log].sort()).toEqual([...expected].sort())
      // What one wrote stands in the order in which it was written.
      for (const name of names) {
        const own = log.filter((mark) => mark.startsWith(name))
        expect(own).toEqual(expected.filter((mark) => mark.startsWith(name)))
      }
    }

    // Another browser has only what the server has.
    const elsewhere = await browser.newContext()
    const late = await openTab(elsewhere, 'tabs', 'e', 'stock')
    const [whole] = await agree([late], (states) => isSame(states, 220), 'whole elsewhere')
    expect(whole?.text).toBe(states[0]?.text as string)
    // A stock tab that loses the server makes its neighbours forget everybody else until they say something.
    await Promise.all([...tabs, late].map((tab) => tab.move()))
    await agree([...tabs, late], (states) => everybody(states, [...names, 'e']), 'seen by all again')
    // A tab that is closed is gone for everybody, and none that stays.
    await a.page.close()
    await agree([...tabs.slice(1), late], (states) => everybody(states, ['b', 'c', 'd', 'e']), 'gone')
    await tabs[2]?.page.close()
    await agree([b, tabs[3] as OpenTab, late], (states) => everybody(states, ['b', 'd', 'e']), 'gone')
    expect([...tabs, late].flatMap(({ problems }) => problems)).toEqual([])
    await Promise.all([context.close(), elsewhere.close()])
  },
  60_000,
)
