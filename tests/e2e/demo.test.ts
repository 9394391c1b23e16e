import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import {
  chromiumPath,
  launchBrowser,
  mailTo,
  newPerson,
  type Person,
  press,
  screenshot,
  submit,
} from '../support/browser.ts'
import { serverSdk } from '../support/clerk.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { runUsher, startUsher, temporaryDirectory, type UsherProcess } from '../support/usher.ts'

const available = Boolean(chromiumPath && postgresBin)
const directory = temporaryDirectory()
let postgres: Awaited<ReturnType<typeof startPostgres>>
let usher: UsherProcess
let browser: Browser

beforeAll(async () => {
  if (!available) return
  postgres = await startPostgres()
  const env = { DATABASE_URL: postgres.url, USHER_SECRET: 'e2e '.repeat(10) }
  usher = await startUsher({ data: directory.path, env })
  const file = join(directory.path, 'settings.json')
  const rule = { pattern: 'org_*', read: 'org:tasks:read', write: 'org:tasks:write' }
  writeFileSync(file, JSON.stringify({ sync: { rules: [rule] } }))
  const set = await runUsher(
    ['instances', 'settings', 'development', '--set', file, '--json', '--data', directory.path],
    env,
  )
  expect(set.code).toBe(0)
  await makeRoles(usher)
  browser = await launchBrowser()
}, 90_000)

afterAll(async () => {
  await browser?.close()
  await usher?.stop()
  await postgres?.[Symbol.asyncDispose]()
  directory[Symbol.dispose]()
})

/** The operator's script: the role Reader and the two permissions, through the unmodified server SDK. */
async function makeRoles({ ready }: UsherProcess) {
  const clerk = serverSdk(ready)
  const { organizationPermissions, organizationRoles } = clerk
  const read = await organizationPermissions.createOrganizationPermission({ key: 'org:tasks:read', name: 'Read tasks' })
  const write = await organizationPermissions.createOrganizationPermission({
    key: 'org:tasks:write',
    name: 'Write tasks',
  })
  await organizationRoles.createOrganizationRole({ key: 'org:reader', name: 'Reader', permissions: [read.id] })
  for (const role of (await organizationRoles.getOrganizationRoleList()).data)
    if (role.key !== 'org:reader')
      for (const { id: permissionId } of [read, write])
        await organizationRoles.assignPermissionToOrganizationRole({ organizationRoleId: role.id, permissionId })
}

const byTestId = (page: Page, id: string) => page.locator(`[data-testid=${id}]`)
const connected = (page: Page) => page.waitForSelector('[data-testid=connection][data-state=connected]')
const workspaceIs = (page: Page, name: string) =>
  page.waitForFunction((n) => document.querySelector('[data-testid=workspace-name]')?.textContent === n, name)

async function signUp(person: Person, address: string) {
  const { page } = person
  await page.fill('input[name=emailAddress]', address)
  await page.fill('input[name=password]', 'a long enough password 1')
  await submit(page)
  await page.waitForSelector('input[autocomplete=one-time-code]')
  const { code } = await mailTo(usher.ready.url, address, 'verification_code')
  await page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
}

async function addTask(page: Page, title: string) {
  await byTestId(page, 'task-input').fill(title)
  await byTestId(page, 'task-add').click()
}

test.skipIf(!available)(
  'Ada and Bob: sign up, an organization, an invitation as Reader, a promotion, personal account, a removal',
  async () => {
    const { url } = usher.ready
    const ada = await newPerson(browser, 'ada')
    const bob = await newPerson(browser, 'bob')
    // Ada signs up with an emailed code.
    await ada.page.goto(`${url}/demo?sign-up=1`)
    await signUp(ada, 'ada@example.com')
    await workspaceIs(ada.page, 'Personal account')
    await connected(ada.page)
    await screenshot(ada, '01-personal')

    // She creates the organization Frontiers and adds tasks.
    await ada.page.click('.cl-organizationSwitcherTrigger')
    await ada.page.getByText('Create organization').click()
    await ada.page.fill('input[name=name]', 'Frontiers')
    await press(ada.page.getByRole('button', { name: 'Create organization' }))
    await ada.page.getByRole('button', { name: 'Skip' }).click()
    await workspaceIs(ada.page, 'Frontiers')
    await connected(ada.page)
    await addTask(ada.page, 'Draw the map')
    await addTask(ada.page, 'Pack the boat')
    await byTestId(ada.page, 'note').fill('We leave at dawn.')
    await screenshot(ada, '02-organization')

    // She invites Bob as Reader, in the organization's profile.
    await ada.page.click('.cl-organizationSwitcherTrigger')
    await ada.page.getByText('Manage', { exact: true }).click()
    await ada.page.getByRole('button', { name: 'Members' }).click()
    await ada.page.getByRole('button', { name: 'Invite' }).click()
    await ada.page.locator('[data-testid=tag-input]').fill('bob@example.com,')
    await ada.page
      .getByRole('button', { name: 'Select role' })
      .or(ada.page.locator('.cl-selectButton__role'))
      .first()
      .click()
    await ada.page.getByText('Reader', { exact: true }).last().click()
    await screenshot(ada, '03-invite')
    await press(ada.page.getByRole('button', { name: 'Send invitations' }))
    const invitation = await mailTo(url, 'bob@example.com', 'organization_invitation')
    await screenshot(ada, '04-invited')
    await ada.page.keyboard.press('Escape')

    // Bob opens the link from the inbox and signs up: the address is proven by the link, only a password is missing.
    await bob.page.goto(invitation.links[0] ?? '')
    await bob.page.waitForSelector('input[name=password]')
    await screenshot(bob, '05-ticket')
    await bob.page.fill('input[name=password]', 'another long password 2')
    await submit(bob.page)
    await workspaceIs(bob.page, 'Frontiers')
    await connected(bob.page)

    // He sees the tasks and the live note, and cannot write.
    await bob.page.getByText('Draw the map').waitFor()
    expect(await byTestId(bob.page, 'note').inputValue()).toBe('We leave at dawn.')
    expect(await byTestId(bob.page, 'role').textContent()).toBe('Reader')
    expect(await byTestId(bob.page, 'read-only').isVisible()).toBe(true)
    expect(await byTestId(bob.page, 'note').isDisabled()).toBe(true)
    expect(await byTestId(bob.page, 'task-input').isDisabled()).toBe(true)
    await screenshot(bob, '06-reader')

    // Ada makes him a Member; within a second he can write, and both see it live.
    const clerk = serverSdk(usher.ready)
    const [organization] = (await clerk.organizations.getOrganizationList()).data
    const members = await clerk.organizations.getOrganizationMembershipList({ organizationId: organization?.id ?? '' })
    const bobsId = members.data.find((m) => m.role === 'org:reader')?.publicUserData?.userId ?? ''
    const promote = ada.page.evaluate(async (userId) => {
      const { Clerk } = window as unknown as {
        Clerk: { organization: { updateMember: (input: object) => Promise<unknown> } }
      }
      await Clerk.organization.updateMember({ userId, role: 'org:member' })
    }, bobsId)
    await promote
    const promotedAt = Date.now()
    await bob.page.waitForFunction(
      () => !(document.querySelector('[data-testid=note]') as HTMLTextAreaElement).disabled,
    )
    expect(Date.now() - promotedAt).toBeLessThan(1500)
    await byTestId(bob.page, 'note').fill('We leave at noon.')
    await ada.page.waitForFunction(
      () => (document.querySelector('[data-testid=note]') as HTMLTextAreaElement).value === 'We leave at noon.',
    )
    await addTask(bob.page, 'Bring coffee')
    await ada.page.getByText('Bring coffee').waitFor()
    await screenshot(ada, '07-together')

    // Bob switches to his personal account and sees none of it.
    await bob.page.click('.cl-organizationSwitcherTrigger')
    await bob.page.getByText('Personal account').last().click()
    await workspaceIs(bob.page, 'Personal account')
    await connected(bob.page)
    expect(await byTestId(bob.page, 'task').count()).toBe(0)
    expect(await byTestId(bob.page, 'note').inputValue()).toBe('')
    await screenshot(bob, '08-personal')

    // Back in the organization, Ada removes him and his socket closes.
    await bob.page.click('.cl-organizationSwitcherTrigger')
    await bob.page.getByText('Frontiers').last().click()
    await workspaceIs(bob.page, 'Frontiers')
    await connected(bob.page)
    const ended = bob.page.waitForFunction(() => {
      const notice = document.querySelector('[data-testid=ended]') as HTMLElement
      const name = document.querySelector('[data-testid=workspace-name]')?.textContent
      return !notice.hidden || name === 'Personal account'
    })
    await ada.page.evaluate(async (userId) => {
      const { Clerk } = window as unknown as {
        Clerk: { organization: { removeMember: (userId: string) => Promise<unknown> } }
      }
      await Clerk.organization.removeMember(userId)
    }, bobsId)
    const removedAt = Date.now()
    await ended
    expect(Date.now() - removedAt).toBeLessThan(1500)
    await workspaceIs(bob.page, 'Personal account')
    await screenshot(bob, '09-removed')

    expect(ada.problems).toEqual([])
    // Asking for a token of an organization that one has just left is refused, and Chromium notes the refusal.
    expect(bob.problems.filter((p) => !/40[34].*(sync\/token|\/tokens)/.test(p))).toEqual([])
  },
  120_000,
)
