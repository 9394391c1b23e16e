import { afterAll, beforeAll, expect, test } from 'bun:test'
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
import { exampleInstalled, sharedPort, startExample } from '../support/next.ts'
import { startUsher, temporaryDirectory, type UsherProcess } from '../support/usher.ts'

const available = Boolean(chromiumPath && exampleInstalled)
const directory = temporaryDirectory()
let usher: UsherProcess
let app: Awaited<ReturnType<typeof startExample>>
let browser: Browser

beforeAll(async () => {
  if (!available) return
  usher = await startUsher({ args: ['--port', String(sharedPort)] })
  // Makes the permissions and roles of the example as well.
  app = await startExample(usher.ready, directory.path)
  browser = await launchBrowser()
}, 180_000)

afterAll(async () => {
  await browser?.close()
  await app?.stop()
  await usher?.stop()
  directory[Symbol.dispose]()
})

const byTestId = (page: Page, id: string) => page.locator(`[data-testid=${id}]`)
const tenantIs = (page: Page, name: string) =>
  page.waitForFunction((n) => document.querySelector('[data-testid=tenant-name]')?.textContent === n, name)

/** A look after what fades in has faded in. */
async function look(who: Person, what: string) {
  if (process.env.USHER_TEST_SCREENSHOTS) await Bun.sleep(700)
  await screenshot(who, `guide-${what}`)
}

async function signUp(name: string, address: string): Promise<Person> {
  const who = await newPerson(browser, name)
  const { page } = who
  await page.goto(`${app.url}/sign-up`)
  await page.fill('input[name=emailAddress]', address)
  await page.fill('input[name=password]', 'a long enough password 1')
  await submit(page)
  await page.waitForSelector('input[autocomplete=one-time-code]')
  const { code } = await mailTo(usher.ready.url, address, 'verification_code')
  await page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
  await tenantIs(page, 'Personal')
  return who
}

/** Creates an organization in the list of one's organizations, which leads to its address. */
async function create({ page }: Person, name: string, slug: string) {
  await page.goto(`${app.url}/organizations`)
  await page.getByText('Create organization').click()
  await page.fill('input[name=name]', name)
  await page.fill('input[name=slug]', slug)
  await press(page.getByRole('button', { name: 'Create organization' }))
  await page.getByRole('button', { name: 'Skip' }).click()
  await page.waitForURL(`**/orgs/${slug}`)
  await tenantIs(page, name)
}

async function openProfile({ page }: Person, tab: string) {
  await page.goto(`${app.url}/organization-profile`)
  await page.getByRole('button', { name: tab }).click()
}

async function chooseMode({ page }: Person, mode: string) {
  await page.getByText(mode, { exact: true }).click()
  await press(page.getByRole('button', { name: 'Save' }))
  await page.getByRole('button', { name: 'Add domain' }).waitFor()
}

async function addTask(page: Page, title: string) {
  await byTestId(page, 'task-input').fill(title)
  await byTestId(page, 'task-add').click()
  await page.locator('[data-testid=task]', { hasText: title }).waitFor()
}

test.skipIf(!available)(
  'the guide to multi-tenancy: addresses of organizations, domains, requests, invitations, roles, switching',
  async () => {
    const clerk = serverSdk(usher.ready)
    await clerk.instance.updateOrganizationSettings({ domainsEnabled: true })

    // Two organizations, each at an address of its own.
    const ada = await signUp('ada', 'ada@acme.example')
    await create(ada, 'Quarry', 'quarry')
    await addTask(ada.page, 'Cut the stone')
    await create(ada, 'Frontiers', 'frontiers')
    await addTask(ada.page, 'Draw the map')
    await look(ada, '01-organization')

    // The address alone switches.
    await ada.page.goto(`${app.url}/orgs/quarry`)
    await tenantIs(ada.page, 'Quarry')
    await ada.page.getByText('Cut the stone').waitFor()
    expect(await ada.page.getByText('Draw the map').count()).toBe(0)
    await ada.page.goto(`${app.url}/orgs/frontiers`)
    await tenantIs(ada.page, 'Frontiers')

    // Her own domain, whose people are suggested the organization.
    await openProfile(ada, 'General')
    await ada.page.getByRole('button', { name: 'Add domain' }).click()
    await ada.page.fill('input[name=name]', 'acme.example')
    await press(ada.page.getByRole('button', { name: 'Save' }))
    await ada.page.getByText('is now verified').waitFor()
    await look(ada, '02-domain')
    await chooseMode(ada, 'Automatic suggestions')

    // One that is proven by a code to a mailbox at it, and whose people are invited.
    await openProfile(ada, 'General')
    await ada.page.getByRole('button', { name: 'Add domain' }).click()
    await ada.page.fill('input[name=name]', 'beta.example')
    await press(ada.page.getByRole('button', { name: 'Save' }))
    await ada.page.waitForSelector('input[name=affiliationEmailAddress]')
    await ada.page.fill('input[name=affiliationEmailAddress]', 'postmaster')
    await press(ada.page.getByRole('button', { name: 'Save' }))
    await ada.page.waitForSelector('input[autocomplete=one-time-code]')
    const { code } = await mailTo(usher.ready.url, 'postmaster@beta.example', 'verification_code')
    await ada.page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
    await ada.page.getByRole('button', { name: 'Add domain' }).waitFor()
    await openProfile(ada, 'General')
    await ada.page
      .locator('.cl-profileSectionItem__organizationDomains', { hasText: 'beta.example' })
      .locator('.cl-menuButtonEllipsis')
      .click()
    await ada.page.getByText('Manage', { exact: true }).last().click()
    await ada.page.getByText('Automatic invitations').waitFor()
    await chooseMode(ada, 'Automatic invitations')
    await look(ada, '03-domains')

    // Bob finds it among his organizations, asks to join, and is refused at its address until he is in.
    const bob = await signUp('bob', 'bob@acme.example')
    await bob.page.goto(`${app.url}/orgs/frontiers`)
    await byTestId(bob.page, 'no-organization').waitFor()
    await look(bob, '04-not-yet')
    await bob.page.goto(`${app.url}/organizations`)
    await bob.page.getByRole('button', { name: 'Request to join' }).click()
    await bob.page.getByText('Pending approval').waitFor()
    await look(bob, '05-requested')
    await openProfile(ada, 'Members')
    await ada.page.getByRole('tab', { name: 'Requests' }).click()
    await ada.page.getByText('bob@acme.example').waitFor()
    await look(ada, '06-request')
    await ada.page.getByRole('button', { name: 'Approve' }).click()
    await ada.page.getByText('bob@acme.example').waitFor({ state: 'detached' })
    await bob.page.goto(`${app.url}/organizations`)
    await bob.page.locator('.cl-organizationListPreviewButton', { hasText: 'Frontiers' }).click()
    await bob.page.waitForURL('**/orgs/frontiers')
    await tenantIs(bob.page, 'Frontiers')
    await addTask(bob.page, 'Bring coffee')
    await look(bob, '07-member')

    // Cleo is invited by her domain, and Ada makes her a reader.
    const cleo = await signUp('cleo', 'cleo@beta.example')
    await cleo.page.goto(`${app.url}/organizations`)
    await cleo.page.getByRole('button', { name: 'Join', exact: true }).click()
    await look(cleo, '08-joined')
    await cleo.page.goto(`${app.url}/orgs/frontiers`)
    await tenantIs(cleo.page, 'Frontiers')
    await openProfile(ada, 'Members')
    const row = ada.page.locator('tr', { hasText: 'cleo@beta.example' })
    await row
      .locator('.cl-selectButton')
      .or(row.getByRole('button', { name: 'Member' }))
      .first()
      .click()
    await ada.page.getByText('Reader', { exact: true }).last().click()
    await look(ada, '09-roles')
    await byTestId(cleo.page, 'read-only').waitFor()
    await look(cleo, '10-reader')
    expect(await byTestId(cleo.page, 'task-input').isDisabled()).toBe(true)

    // The organization that they are not in looks like one that does not exist.
    for (const slug of ['quarry', 'nobodys']) {
      await bob.page.goto(`${app.url}/orgs/${slug}`)
      await byTestId(bob.page, 'no-organization').waitFor()
      expect(await bob.page.getByText('Cut the stone').count()).toBe(0)
    }

    // She removes Bob: the address is closed to him, and the domain does not bring him back.
    await ada.page.evaluate(async () => {
      const { organization } = (window as unknown as InPage).Clerk
      const { data } = await organization.getMemberships()
      const his = data.find((m) => m.publicUserData.identifier === 'bob@acme.example')
      await organization.removeMember(his?.publicUserData.userId ?? '')
    })
    await bob.page.goto(`${app.url}/orgs/frontiers`)
    await byTestId(bob.page, 'no-organization').waitFor()
    await bob.page.goto(`${app.url}/organizations`)
    await bob.page.getByText('Create organization').waitFor()
    expect(await bob.page.getByText('Frontiers').count()).toBe(0)
    await look(bob, '11-removed')

    for (const { name, problems } of [ada, bob, cleo])
      expect([name, problems.filter((p) => !/40[34].*(sync-token|\/tokens)/.test(p))]).toEqual([name, []])
  },
  240_000,
)

test.skipIf(!available)(
  'I10 a page that asks for a role and says where to send others does both',
  async () => {
    const clerk = serverSdk(usher.ready)
    const page = `${app.url}/administration`
    const signedOut = await fetch(page, { redirect: 'manual', headers: { accept: 'text/html' } })
    expect([signedOut.status, (await signedOut.text()).includes('of them done')]).toEqual([307, false])

    const fay = await signUp('fay', 'fay@elsewhere.example')
    const refused = async () => {
      await fay.page.goto(page)
      await fay.page.waitForURL('**/tasks')
      expect(await byTestId(fay.page, 'administration').count()).toBe(0)
    }
    // Without an organization, and then with a role that is not enough.
    await refused()
    const { id: organizationId } = await clerk.organizations.createOrganization({ name: 'Harbor', slug: 'harbor' })
    const [user] = (await clerk.users.getUserList({ emailAddress: ['fay@elsewhere.example'] })).data
    const member = { organizationId, userId: user?.id ?? '' }
    await clerk.organizations.createOrganizationMembership({ ...member, role: 'org:member' })
    await fay.page.goto(`${app.url}/orgs/harbor`)
    await tenantIs(fay.page, 'Harbor')
    await refused()
    await clerk.organizations.updateOrganizationMembership({ ...member, role: 'org:admin' })
    // The role is in the next token.
    await fay.page.waitForFunction(() => Boolean((window as unknown as Partial<InPage>).Clerk?.session))
    await fay.page.evaluate(() => (window as unknown as InPage).Clerk.session.getToken({ skipCache: true }))
    await fay.page.goto(page)
    await byTestId(fay.page, 'administration').waitFor()
    await look(fay, '12-administration')
  },
  60_000,
)

/** What gets past a check that stands in front of the pages alone, in one server or another. */
const detours: [path: string, headers: Record<string, string>][] = [
  ['/orgs/frontiers', {}],
  ['/orgs/frontiers', { 'x-middleware-subrequest': 'middleware:middleware:middleware:middleware:middleware' }],
  ['/orgs/frontiers', { 'x-middleware-subrequest': 'src/proxy:src/proxy:src/proxy:src/proxy:src/proxy' }],
  ['/orgs/frontiers', { 'x-nextjs-data': '1' }],
  ['/orgs/frontiers?_rsc=1', { rsc: '1' }],
  ['/orgs/frontiers', { rsc: '1', 'next-router-prefetch': '1' }],
  ['/orgs/frontiers', { 'next-router-segment-prefetch': '/_full', rsc: '1' }],
  ['/_next/data/build/orgs/frontiers.json', { 'x-nextjs-data': '1' }],
  ['//orgs/frontiers', {}],
  ['/orgs//frontiers', {}],
  ['/./orgs/frontiers', {}],
  ['/%6frgs/frontiers', {}],
  ['/orgs/%66rontiers', {}],
  ['/orgs/frontiers%2f', {}],
  ['/orgs/frontiers;x=1', {}],
  ['/ORGS/frontiers', {}],
  ['/orgs/frontiers.png', {}],
  ['/orgs/frontiers?slug=quarry&organization_id=frontiers', {}],
  ['/orgs/frontiers', { 'x-clerk-auth-status': 'signed-in', 'x-clerk-auth-token': 'eyJhbGciOiJub25lIn0.e30.' }],
]

test.skipIf(!available)(
  'I11 tasks of an organization are shown to nobody by a detour around the middleware',
  async () => {
    const eve = await signUp('eve', 'eve@elsewhere.example')
    const cookies = (await eve.context.cookies(app.url)).map((c) => `${c.name}=${c.value}`).join('; ')
    for (const cookie of ['', cookies])
      for (const [path, headers] of detours) {
        const response = await fetch(app.url + path, { headers: { ...headers, ...(cookie && { cookie }) } })
        const text = await response.text()
        expect([path, headers, text.includes('Draw the map'), text.includes('Bring coffee')]).toEqual([
          path,
          headers,
          false,
          false,
        ])
      }
  },
  60_000,
)

type InPage = {
  Clerk: {
    session: { getToken: (options: { skipCache: boolean }) => Promise<string> }
    organization: {
      getMemberships: () => Promise<{ data: { publicUserData: { identifier: string; userId: string } }[] }>
      removeMember: (userId: string) => Promise<unknown>
    }
  }
}
