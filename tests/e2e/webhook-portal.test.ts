import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { chromiumPath, launchBrowser, newPerson, screenshot } from '../support/browser.ts'
import { serverSdk } from '../support/clerk.ts'
import { freePort } from '../support/postgres.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** The portal of webhooks as somebody has it who was sent the link. */
let usher: UsherProcess
let browser: Browser
let receiver: ReturnType<typeof Bun.serve>
const received: { type: string; signed: boolean }[] = []

beforeAll(async () => {
  if (!chromiumPath) return
  const port = await freePort()
  receiver = Bun.serve({
    port,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { type } = (await request.json()) as { type: string }
      received.push({ type, signed: request.headers.has('svix-signature') })
      return new Response(null, { status: type === 'organization.created' ? 500 : 204 })
    },
  })
  usher = await startUsher({ env: { USHER_EGRESS_ALLOW: `localhost:${port},127.0.0.1:${port}` } })
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
  receiver?.stop(true)
})

test.skipIf(!chromiumPath)(
  'J11 somebody opens the link, adds an endpoint, sends a test and sees what came of it; the link opens nothing again',
  async () => {
    const clerk = serverSdk(usher.ready)
    const { svix_url: link } = await clerk.webhooks.generateSvixAuthURL()
    const ada = await newPerson(browser, 'ada')
    const { page } = ada
    await page.goto(link)
    const openButton = page.getByRole('button', { name: 'Open the portal' })
    await openButton.waitFor()
    // Neither the address nor what goes to the server with it holds the secret any more.
    expect(page.url()).toBe(`${usher.ready.url}/webhooks/portal/open`)
    await screenshot(ada, 'portal-01-link')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Endpoints', exact: true }).waitFor()
    await screenshot(ada, 'portal-02-empty')

    await page.getByRole('link', { name: 'Add an endpoint' }).click()
    await page.getByLabel('Address', { exact: true }).fill('http://10.0.0.1/inside')
    await page.getByRole('button', { name: 'Add the endpoint' }).click()
    await page.getByRole('alert').waitFor()
    await screenshot(ada, 'portal-03-refused')
    const url = `http://127.0.0.1:${receiver.port}/hooks`
    await page.getByLabel('Address', { exact: true }).fill(url)
    await page.getByLabel('Description', { exact: true }).fill('The ledger of the accountants')
    await page.getByText('Events: all of them').click()
    await page.locator('input[value="organization.created"]').check()
    await page.locator('input[value="user.created"]').check()
    await screenshot(ada, 'portal-04-new')
    await page.getByRole('button', { name: 'Add the endpoint' }).click()
    await page.getByRole('heading', { name: url }).waitFor()

    await page.getByRole('button', { name: 'Show the secret' }).click()
    expect(await page.getByTestId('secret').textContent()).toStartWith('whsec_')
    await page.getByLabel('Event', { exact: true }).selectOption('user.created')
    await page.getByRole('button', { name: 'Send a test' }).click()
    const first = page.getByRole('row').nth(1)
    await first.getByText('delivered').waitFor()
    expect(await first.textContent()).toContain('204')
    expect(received).toEqual([{ type: 'user.created', signed: true }])
    await screenshot(ada, 'portal-05-delivered')

    // What really happens comes too; what the receiver refuses is there to be seen.
    await clerk.users.createUser({ emailAddress: ['bob@example.com'], skipPasswordRequirement: true })
    await clerk.organizations.createOrganization({ name: 'Acme' })
    for (const end = Date.now() + 10_000; received.length < 3 && Date.now() < end; ) await Bun.sleep(50)
    const refused = page.getByRole('cell', { name: 'waiting' })
    const log = page.url().split('?')[0] as string
    // The outcome is written down a moment after the receiver has answered.
    for (const end = Date.now() + 10_000; Date.now() < end; await Bun.sleep(200)) {
      await page.goto(log)
      if (await refused.isVisible()) break
    }
    expect(await refused.isVisible()).toBe(true)
    const again = page.getByRole('button', { name: /^Deliver user\.created/ })
    await again.click()
    await page.getByRole('heading', { name: /replay 1/ }).waitFor()
    for (const end = Date.now() + 10_000; received.length < 4 && Date.now() < end; ) await Bun.sleep(50)
    expect(received.filter(({ type }) => type === 'user.created')).toHaveLength(3)
    await page.reload()
    await page.getByRole('cell', { name: 'delivered' }).waitFor()

    // On a phone nothing is wider than the screen.
    await page.setViewportSize({ width: 375, height: 740 })
    await page.getByRole('link', { name: 'Not of replays' }).click()
    await page.getByText('waiting', { exact: true }).waitFor()
    const overflow = await page.evaluate(() => {
      const root = (
        globalThis as unknown as { document: { documentElement: { scrollWidth: number; clientWidth: number } } }
      ).document.documentElement
      return root.scrollWidth - root.clientWidth
    })
    expect(overflow).toBe(0)
    await screenshot(ada, 'portal-06-phone')

    const bob = await newPerson(browser, 'bob')
    await bob.page.goto(link)
    await bob.page.getByRole('button', { name: 'Open the portal' }).click()
    await bob.page.getByText('used already').waitFor()
    await screenshot(bob, 'portal-07-used')
    await page.getByRole('button', { name: 'Close' }).click()
    await page.getByText('Nobody can go on here').waitFor()
    await page.goBack()
    await page.goto(`${usher.ready.url}/webhooks/portal`)
    await page.getByText('not open in this browser').waitFor()
    expect(ada.problems.filter((problem) => !/status of (401|422)/.test(problem))).toEqual([])
  },
  60_000,
)
