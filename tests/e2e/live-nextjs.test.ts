import { expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClerkClient } from '@clerk/backend'
import type { Page } from 'playwright-core'
import { chromiumPath, launchBrowser, newPerson, type Person, screenshot } from '../support/browser.ts'
import { startDeployedNginx } from '../support/deployed-nginx.ts'
import { liveDirectory, liveInstalled, startLiveExample } from '../support/live.ts'
import { startMailServer } from '../support/mail.ts'
import { nginxPath } from '../support/nginx.ts'
import { freePort } from '../support/postgres.ts'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

const byTestId = (page: Page, id: string) => page.locator(`[data-testid=${id}]`)
const isLive = (page: Page) => page.waitForSelector('[data-testid=chat-status][data-state=live]')
const isHere = (page: Page, userId: string) =>
  page.waitForSelector(`[data-testid=presence-person][data-user=${userId}]`)

const noteIs = (page: Page, text: string) =>
  page.waitForFunction(
    (t) => (document.querySelector('[data-testid=secret-note]') as HTMLTextAreaElement | null)?.value === t,
    text,
  )

/** Runs in a page: the code that a socket is closed with, or `open` if it is still open after a second. */
function closeCode(address: string): Promise<number | 'open'> {
  return new Promise((resolve) => {
    const socket = new WebSocket(address)
    socket.onclose = ({ code }) => resolve(code)
    socket.onopen = () =>
      setTimeout(() => {
        resolve('open')
        socket.close()
      }, 1000)
  })
}

/** Whether each text stands in a file of the server's database, its write-ahead log included. */
function filesWith(directory: string, texts: string[]): boolean[] {
  const found = texts.map(() => false)
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = readFileSync(join(entry.parentPath, entry.name))
    texts.forEach((text, i) => {
      found[i] ||= bytes.includes(text)
    })
  }
  return found
}

test.skipIf(!chromiumPath || !liveInstalled || !nginxPath)(
  'chat, presence, notifications and an encrypted document in one Next.js app, behind the nginx that is shipped',
  async () => {
    using directory = temporaryDirectory()
    await using mail = await startMailServer()
    const env = {
      USHER_SECRET: randomBytes(32).toString('base64'),
      SMTP_URL: mail.url,
      USHER_MAIL_FROM: 'Live <no-reply@acme.test>',
      USHER_TRUSTED_PROXIES: '127.0.0.1',
    }
    await using usher = await startUsher({ data: directory.path, env })
    const run = async (...command: string[]) => {
      const done = await runUsher([...command, '--data', directory.path], env)
      expect(done).toMatchObject({ code: 0 })
      return done.stdout
    }
    const [port, appPort] = [await freePort(), await freePort()]
    const hosts = { usher: 'auth.acme.test', app: 'live.acme.test' }
    const appUrl = `https://${hosts.app}:${port}`

    // From development to production, as docs/production.md says.
    const made = Bun.spawn([process.execPath, 'scripts/setup-roles.ts'], {
      cwd: liveDirectory,
      env: { ...process.env, CLERK_SECRET_KEY: usher.ready.secret_key, CLERK_API_URL: usher.ready.url },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    expect(await made.exited).toBe(0)
    await run('promote', '--host', `${hosts.usher}:${port}`, '--yes')
    const file = join(directory.path, 'usher.config.ts')
    writeFileSync(
      file,
      `import { defineConfig } from 'usher/config'
export default defineConfig({
  settings: { applicationName: 'Live', homeUrl: '${appUrl}', allowedOrigins: ['${appUrl}'], clientTrust: false },
})
`,
    )
    await run('apply', '--file', file, '--instance', 'production', '--yes')
    const keys = JSON.parse(await run('keys', '--instance', 'production', '--json'))
    const clerk = createClerkClient({ secretKey: keys.secret_key, apiUrl: usher.ready.url })

    const [ada, bob, eve] = await Promise.all(
      ['Ada', 'Bob', 'Eve'].map((firstName) =>
        clerk.users.createUser({
          firstName,
          emailAddress: [`${firstName.toLowerCase()}@acme.test`],
          skipPasswordRequirement: true,
        }),
      ),
    )
    if (!ada || !bob || !eve) throw new Error('unreachable')
    const organization = await clerk.organizations.createOrganization({
      name: 'Frontiers',
      slug: 'frontiers',
      createdBy: ada.id,
    })
    await clerk.organizations.createOrganization({ name: 'Others', slug: 'others', createdBy: eve.id })
    await clerk.organizations.createOrganizationMembership({
      organizationId: organization.id,
      userId: bob.id,
      role: 'org:member',
    })

    await using nginx = await startDeployedNginx({
      port,
      hosts,
      usher: [Number(new URL(usher.ready.url).port)],
      app: appPort,
    })
    await using app = await startLiveExample({
      usher: { ...usher.ready, ...keys },
      port: appPort,
      directory: directory.path,
    })
    const browser = await launchBrowser([
      '--host-resolver-rules=MAP *.acme.test 127.0.0.1',
      `--ignore-certificate-errors-spki-list=${nginx.spki}`,
    ])
    const signIn = async ({ page }: Person, userId: string, name: string, by: 'list' | 'address' = 'list') => {
      const { token } = await clerk.signInTokens.createSignInToken({ userId, expiresInSeconds: 60 })
      await page.goto(`${appUrl}/sign-in?__clerk_ticket=${token}`)
      await page.waitForURL(`${appUrl}/`)
      const address = `${appUrl}/orgs/${name.toLowerCase()}`
      if (by === 'list') {
        await page.locator('.cl-organizationPreviewTextContainer', { hasText: name }).first().click()
        await page.waitForURL(address)
      } else {
        // The address makes the organization the active one, by a handshake; and a reload finds it so.
        await page.goto(address)
        await isLive(page)
        await page.reload()
      }
      await isLive(page)
    }
    const people: Person[] = []
    try {
      people.push(...(await Promise.all(['ada', 'bob', 'bob-phone', 'eve'].map((name) => newPerson(browser, name)))))
      const [adasPage, bobsPage, bobsPhone, evesPage] = people
      if (!adasPage || !bobsPage || !bobsPhone || !evesPage) throw new Error('unreachable')
      await Promise.all([
        signIn(adasPage, ada.id, 'Frontiers'),
        signIn(bobsPage, bob.id, 'Frontiers'),
        signIn(bobsPhone, bob.id, 'Frontiers', 'address'),
        signIn(evesPage, eve.id, 'Others'),
      ])
      // Who is here, once a person.
      await isHere(adasPage.page, bob.id)
      await isHere(bobsPage.page, ada.id)
      await isHere(evesPage.page, eve.id)
      // A reload has the SDK's script at hand, and React late: what the server drew is still what React finds.
      await bobsPhone.page.route('**/_next/static/chunks/**', async (route) => {
        await Bun.sleep(Math.random() * 400)
        await route.continue()
      })
      for (let i = 0; i < 3; i++) {
        await bobsPhone.page.reload()
        await isLive(bobsPhone.page)
      }
      await bobsPhone.page.unroute('**/_next/static/chunks/**')
      expect(bobsPhone.problems.filter((problem) => /#418|ydrat/.test(problem))).toEqual([])
      await screenshot(adasPage, 'live-01-here')
      expect(await byTestId(adasPage.page, 'presence-person').count()).toBe(2)
      expect(await byTestId(evesPage.page, 'presence-person').count()).toBe(1)

      // What Ada says is on Bob's devices, and nowhere else.
      await byTestId(adasPage.page, 'chat-input').fill('We leave at dawn.')
      await byTestId(bobsPage.page, 'typing').getByText('Ada').waitFor()
      await byTestId(adasPage.page, 'chat-send').click()
      for (const { page } of [adasPage, bobsPage, bobsPhone])
        await byTestId(page, 'message').getByText('We leave at dawn.').waitFor()
      expect(await byTestId(evesPage.page, 'message').count()).toBe(0)

      // A wave reaches both of his devices.
      await byTestId(adasPage.page, 'wave').click()
      for (const { page } of [bobsPage, bobsPhone])
        await byTestId(page, 'notification').getByText('Ada waves at you').waitFor()
      await screenshot(bobsPage, 'live-02-waved')

      // The passphrase opens the document on both sides, and both write. Whoever has another one sees nothing.
      const secret = 'The treasure lies under the third palm.'
      const open = async ({ page }: Person, passphrase: string) => {
        await byTestId(page, 'secret-passphrase').fill(passphrase)
        await byTestId(page, 'secret-open').click()
      }
      await open(adasPage, 'correct horse battery')
      await adasPage.page.waitForSelector('[data-testid=secret-status][data-state=live]')
      await open(bobsPage, 'correct horse battery')
      await open(bobsPhone, 'incorrect zebra')
      await bobsPage.page.waitForSelector('[data-testid=secret-status][data-state=live]')
      await byTestId(adasPage.page, 'secret-note').fill(secret)
      await noteIs(bobsPage.page, secret)
      await byTestId(bobsPage.page, 'secret-note').fill(`${secret} Dig at low tide.`)
      await noteIs(adasPage.page, `${secret} Dig at low tide.`)
      await byTestId(bobsPhone.page, 'secret-wrong').waitFor()
      await screenshot(adasPage, 'live-03-secret')
      const stored = filesWith(directory.path, [`${organization.id}/secret`, 'third palm', 'low tide', 'horse battery'])
      expect(stored).toEqual([true, false, false, false])

      // Strangers: a cookie alone opens nothing, a ticket opens once, and pages of other origins open nothing at all.
      const ask = ({ page }: Person, path: string) => page.evaluate(closeCode, `wss://${hosts.app}:${port}${path}`)
      expect(await ask(evesPage, '/api/presence')).toBe(4001)
      expect(await ask(evesPage, '/api/presence?token=eyJhbGciOiJub25lIn0.e30.')).toBe(4001)
      const ticket = await evesPage.page.evaluate(async () => {
        const headers = { 'content-type': 'application/json' }
        return (await (await fetch('/api/ticket', { method: 'POST', headers, body: '{}' })).json()).ticket as string
      })
      expect(await ask(evesPage, `/api/presence?ticket=${ticket}`)).toBe('open')
      expect(await ask(evesPage, `/api/presence?ticket=${ticket}`)).toBe(4001)
      expect(await ask(evesPage, '/api/trpc')).toBe('open')
      await evesPage.page.goto(`https://${hosts.usher}:${port}/healthz`)
      expect(await ask(evesPage, `/api/presence?ticket=${ticket}`)).toBe(4403)
      expect(await ask(evesPage, '/api/trpc')).toBe(4403)

      // Removed, his sockets are cut within a second.
      await bobsPage.page.evaluate(() => {
        new MutationObserver(() => {
          if (document.querySelector('[data-testid=access-ended]'))
            (window as unknown as { endedAt?: number }).endedAt ??= Date.now()
        }).observe(document.body, { childList: true, subtree: true })
      })
      const removedAt = Date.now()
      await clerk.organizations.deleteOrganizationMembership({ organizationId: organization.id, userId: bob.id })
      await bobsPage.page.waitForSelector('[data-testid=access-ended][data-why=no_access]')
      const endedAt = await bobsPage.page.evaluate(() => (window as unknown as { endedAt: number }).endedAt)
      expect(endedAt - removedAt).toBeLessThan(1500)
      await adasPage.page.waitForFunction(() => document.querySelectorAll('[data-testid=presence-person]').length === 1)
      await screenshot(bobsPage, 'live-04-removed')
      expect(adasPage.problems).toEqual([])
      expect(nginx.accessLog() + nginx.errorLogs()).not.toContain(ticket)
    } catch (error) {
      console.error(await app.errors(), nginx.accessLog().split('\n').slice(-60).join('\n'), nginx.errorLogs())
      for (const p of people) {
        console.error(p.name, p.page.url(), p.problems)
        await screenshot(p, 'fail')
      }
      throw error
    } finally {
      await browser.close()
    }
  },
  240_000,
)
