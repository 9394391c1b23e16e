import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import type { Browser } from 'playwright-core'
import { chromiumPath, launchBrowser, mailTo, newPerson, screenshot, submit } from '../support/browser.ts'
import { serverSdk } from '../support/clerk.ts'
import { changeSettings, startUsher, type UsherProcess } from '../support/usher.ts'

/** The components where not everybody may sign up. */
const password = 'a long enough password 1'
let usher: UsherProcess
let clerk: ClerkClient
let browser: Browser

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

const setMode = (mode: 'public' | 'restricted' | 'waitlist') =>
  changeSettings(usher, { signUp: { mode } }, ({ user_settings }) => user_settings.sign_up.mode === mode)

test.skipIf(!chromiumPath)(
  'with a waitlist people ask, are let in and sign up by the link in their email',
  async () => {
    await setMode('waitlist')
    const ada = await newPerson(browser, 'ada')
    const { page } = ada
    await page.goto(`${usher.ready.url}/demo`)
    await page.locator('input[name=identifier]').waitFor()
    await page.evaluate(() => {
      const { Clerk } = globalThis as unknown as {
        Clerk: Record<'unmountSignIn' | 'mountWaitlist', (node: unknown, options?: object) => void>
      }
      const node = (
        globalThis as unknown as { document: { querySelector: (s: string) => unknown } }
      ).document.querySelector('#sign-in')
      Clerk.unmountSignIn(node)
      Clerk.mountWaitlist(node, { signInUrl: '/demo' })
    })
    await page.fill('input[name=emailAddress]', 'ada@example.com')
    await screenshot(ada, 'waitlist-01-form')
    await page.click('.cl-formButtonPrimary')
    await page.locator('input[name=emailAddress]').waitFor({ state: 'detached' })
    await screenshot(ada, 'waitlist-02-joined')

    const { data } = await clerk.waitlistEntries.list({ status: 'pending' })
    expect(data).toMatchObject([{ emailAddress: 'ada@example.com' }])
    await clerk.waitlistEntries.invite(data[0]?.id ?? '')
    const { links } = await mailTo(usher.ready.url, 'ada@example.com', 'waitlist_invitation')
    await page.goto(links.find((l) => l.includes('/v1/tickets/accept')) ?? '')
    await page.fill('input[name=password]', password)
    await screenshot(ada, 'waitlist-03-ticket')
    await submit(page)
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()
    expect((await clerk.waitlistEntries.list({ status: 'completed' })).totalCount).toBe(1)
    expect(ada.problems).toEqual([])
  },
  90_000,
)

test.skipIf(!chromiumPath)(
  'where sign-up is restricted the component says so, and an invitation opens it',
  async () => {
    await setMode('restricted')
    const bob = await newPerson(browser, 'bob')
    const { page } = bob
    await page.goto(`${usher.ready.url}/demo?sign-up=1`)
    await page.getByText('Access restricted').waitFor()
    expect(await page.locator('input[name=emailAddress]').count()).toBe(0)
    await screenshot(bob, 'restricted-01')

    await clerk.invitations.createInvitation({ emailAddress: 'bob@example.com', publicMetadata: { plan: 'early' } })
    const { links } = await mailTo(usher.ready.url, 'bob@example.com', 'invitation')
    await page.goto(links[0] ?? '')
    await page.fill('input[name=password]', password)
    await screenshot(bob, 'restricted-02-ticket')
    await submit(page)
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()
    const { data } = await clerk.users.getUserList({ emailAddress: ['bob@example.com'] })
    expect(data).toMatchObject([{ publicMetadata: { plan: 'early' } }])
    expect(bob.problems).toEqual([])
  },
  90_000,
)
