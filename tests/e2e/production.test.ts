import { expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromiumPath, launchBrowser, newPerson, press, screenshot, submit } from '../support/browser.ts'
import { codeMailedTo, startMailServer } from '../support/mail.ts'
import { exampleDirectory, exampleInstalled, startExample } from '../support/next.ts'
import { nginxPath, startNginx } from '../support/nginx.ts'
import { freePort } from '../support/postgres.ts'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

test.skipIf(!chromiumPath || !exampleInstalled || !nginxPath)(
  'the Next.js example moves to production: roles promoted, live keys, nginx with TLS, and nothing else',
  async () => {
    using directory = temporaryDirectory()
    await using mail = await startMailServer()
    const env = {
      USHER_SECRET: randomBytes(32).toString('base64'),
      SMTP_URL: mail.url,
      USHER_MAIL_FROM: 'Tasks <no-reply@acme.test>',
      USHER_TRUSTED_PROXIES: '127.0.0.1',
    }
    await using usher = await startUsher({ data: directory.path, env })
    const run = async (...command: string[]) => {
      const done = await runUsher([...command, '--data', directory.path], env)
      expect(done).toMatchObject({ code: 0 })
      return done.stdout
    }
    const port = await freePort()
    const [host, appUrl] = [`auth.acme.test:${port}`, `https://tasks.acme.test:${port}`]

    // Development: the example's own script makes its permissions and roles.
    const made = Bun.spawn([process.execPath, 'scripts/setup-roles.ts'], {
      cwd: exampleDirectory,
      env: { ...process.env, CLERK_SECRET_KEY: usher.ready.secret_key, CLERK_API_URL: usher.ready.url },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    expect(await made.exited).toBe(0)

    // Production has them by promoting, and lives where its file says.
    expect(await run('promote', '--host', host, '--yes')).toContain('+ roles.org:reader')
    const file = join(directory.path, 'usher.config.ts')
    writeFileSync(
      file,
      `import { defineConfig } from 'usher/config'
export default defineConfig({
  settings: { applicationName: 'Tasks', homeUrl: '${appUrl}', allowedOrigins: ['${appUrl}'], clientTrust: false },
})
`,
    )
    await run('apply', '--file', file, '--instance', 'production', '--yes')
    const keys = JSON.parse(await run('keys', '--instance', 'production', '--json'))
    const app = await startExample({ ...usher.ready, ...keys }, directory.path)
    const sites = {
      'auth.acme.test': Number(new URL(usher.ready.url).port),
      'tasks.acme.test': Number(new URL(app.url).port),
    }
    await using nginx = await startNginx(port, sites)
    const browser = await launchBrowser([
      '--host-resolver-rules=MAP *.acme.test 127.0.0.1',
      `--ignore-certificate-errors-spki-list=${nginx.spki}`,
    ])
    try {
      const ada = await newPerson(browser, 'ada')
      const { page } = ada
      await page.goto(`${appUrl}/sign-up`)
      await page.fill('input[name=emailAddress]', 'ada@acme.test')
      await page.fill('input[name=password]', 'a long enough password 1')
      await submit(page)
      const code = await codeMailedTo(mail, 'ada@acme.test')
      await page.locator('input[autocomplete=one-time-code]').pressSequentially(code)
      await page.waitForURL('**/tasks')

      // An organization whose roles came by promoting: its maker may write tasks, and the shared note is live.
      await page.click('.cl-organizationSwitcherTrigger')
      await page.getByText('Create organization').click()
      await page.fill('input[name=name]', 'Frontiers')
      await press(page.getByRole('button', { name: 'Create organization' }))
      await page.getByRole('button', { name: 'Skip' }).click()
      await page.locator('[data-testid=tenant-name]', { hasText: 'Frontiers' }).waitFor()
      await page.waitForSelector('[data-testid=note-status][data-state=live]')
      await page.fill('[data-testid=task-input]', 'Draw the map')
      await page.click('[data-testid=task-add]')
      await page.locator('[data-testid=task]', { hasText: 'Draw the map' }).waitFor()
      await page.fill('[data-testid=note]', 'We leave at dawn.')
      await screenshot(ada, 'production-01-tasks')
      await page.reload()
      await page.locator('[data-testid=task]', { hasText: 'Draw the map' }).waitFor()

      // The organization's log knows who made it and from where, through both proxies.
      const backend = async (path: string) => {
        const headers = { authorization: `Bearer ${keys.secret_key}` }
        return (await (await fetch(`${usher.ready.url}/v1${path}`, { headers })).json()).data
      }
      const [organization] = await backend('/organizations')
      const log = await backend(`/organizations/${organization.id}/audit_logs?action=organization.created`)
      expect(log).toMatchObject([{ actor: { type: 'user', name: 'ada@acme.test' }, context: { ip: '127.0.0.1' } }])
      expect(log[0].context.user_agent).toContain('Chrome')

      const again = await newPerson(browser, 'ada-elsewhere')
      await again.page.goto(`${appUrl}/sign-in`)
      await screenshot(again, 'production-02-sign-in')
      await again.page.fill('input[name=identifier]', 'ada@acme.test')
      await again.page.click('.cl-formButtonPrimary')
      await again.page.locator('input[name=password]:not([tabindex="-1"])').fill('a long enough password 1')
      await submit(again.page)
      await again.page.waitForURL('**/tasks')
      expect(ada.problems).toEqual([])
      expect(again.problems).toEqual([])
      for (const { name, secure } of await ada.context.cookies())
        if (name.includes('__client') && !name.includes('uat')) expect([name, secure]).toEqual([name, true])
    } finally {
      await browser.close()
      await app.stop()
    }
  },
  240_000,
)
