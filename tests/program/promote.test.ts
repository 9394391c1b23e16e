import { expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClerkClient } from '@clerk/backend'
import { chromiumPath, launchBrowser, newPerson, type Person, screenshot, submit } from '../support/browser.ts'
import { codeMailedTo, startMailServer } from '../support/mail.ts'
import { startNameServer } from '../support/name-server.ts'
import { nginxPath, startNginx } from '../support/nginx.ts'
import { freePort } from '../support/postgres.ts'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

type AppSettings = { publishableKey: string; secretKey: string; apiUrl: string; frontendUrl: string; proxyUrl?: string }

/** An application: a page with the vendor's components, and a server that asks the vendor's SDK who calls. */
function startApp(settings: AppSettings) {
  const { publishableKey, secretKey, apiUrl, frontendUrl, proxyUrl } = settings
  const clerk = createClerkClient({ publishableKey, secretKey, apiUrl, telemetry: { disabled: true } })
  const page = `<!doctype html><title>Acme</title><div id="user"></div><div id="sign-in"></div><pre id="me"></pre>
<script src="${frontendUrl}/npm/@clerk/ui@1/dist/ui.browser.js"></script>
<script src="${frontendUrl}/npm/@clerk/clerk-js@6/dist/clerk.browser.js" data-clerk-publishable-key="${publishableKey}"
  ${proxyUrl ? `data-clerk-proxy-url="${proxyUrl}"` : ''}></script>
<script type="module">
  const { Clerk } = window
  await Clerk.load({ ui: { ClerkUI: window.__internal_ClerkUICtor }, signInUrl: '/', signUpUrl: '/?up', telemetry: false })
  const [user, form] = [document.querySelector('#user'), document.querySelector('#sign-in')]
  if (Clerk.user) {
    Clerk.mountUserButton(user)
    document.querySelector('#me').textContent = await (await fetch('/api/me', { headers: { authorization: 'Bearer ' + (await Clerk.session.getToken()) } })).text()
  } else if (location.search.includes('up')) Clerk.mountSignUp(form, { fallbackRedirectUrl: '/' })
  else Clerk.mountSignIn(form, { fallbackRedirectUrl: '/' })
</script>`
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      if (pathname === '/favicon.ico') return new Response(null, { status: 204 })
      if (pathname !== '/api/me') return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
      const state = await clerk.authenticateRequest(request, proxyUrl ? { proxyUrl } : {})
      const auth = state.toAuth()
      return Response.json({ status: state.status, userId: auth && 'userId' in auth ? auth.userId : null })
    },
  })
  return { port: server.port as number, clerk, [Symbol.dispose]: () => void server.stop(true) }
}

const password = 'a long enough password 1'

async function signUp({ page }: Person, url: string, address: string, code: () => Promise<string>) {
  await page.goto(`${url}/?up`)
  await page.fill('input[name=emailAddress]', address)
  await page.fill('input[name=password]', password)
  await submit(page)
  await page.locator('input[autocomplete=one-time-code]').pressSequentially(await code())
  await page.locator('.cl-userButtonTrigger').waitFor()
}

async function signIn({ page }: Person, url: string, address: string) {
  await page.goto(url)
  await page.fill('input[name=identifier]', address)
  await page.click('.cl-formButtonPrimary')
  await page.locator('input[name=password]:not([tabindex="-1"])').fill(password)
  await submit(page)
}

const whoAmI = async ({ page }: Person) => {
  await page.waitForFunction(() => document.querySelector('#me')?.textContent)
  return JSON.parse((await page.textContent('#me')) ?? '')
}

test.skipIf(!chromiumPath || !nginxPath)(
  'from development to production on one machine: promoted, checked, and behind nginx the same app works',
  async () => {
    using directory = temporaryDirectory()
    await using mail = await startMailServer()
    const port = await freePort()
    using names = await startNameServer({ 'auth.acme.test': '127.0.0.1', 'acme.test': '127.0.0.1' })
    const env: Record<string, string> = {
      USHER_SECRET: randomBytes(32).toString('base64'),
      SMTP_URL: mail.url,
      USHER_MAIL_FROM: 'Acme <no-reply@acme.test>',
      USHER_TRUSTED_PROXIES: '127.0.0.1',
      USHER_DNS_SERVERS: names.address,
    }
    await using usher = await startUsher({ data: directory.path, env })
    const run = (command: string[], more: Record<string, string> = {}) =>
      runUsher([...command, '--data', directory.path], { ...env, ...more })
    const host = `auth.acme.test:${port}`
    const frontendUrl = `https://${host}`
    const appUrl = `https://app.acme.test:${port}`

    // Development: an instance by file, with a provider that needs no account, and an app on loopback.
    const file = join(directory.path, 'usher.config.ts')
    writeFileSync(
      file,
      `import { defineConfig } from 'usher/config'
export default defineConfig(({ environment }) => ({
  settings: {
    applicationName: 'Acme',
    password: { minLength: 12 },
    clientTrust: false,
    ...(environment === 'production' && { homeUrl: '${appUrl}', allowedOrigins: ['${appUrl}'] }),
  },
  permissions: { 'org:tasks:write': { name: 'Write tasks' } },
  roles: { 'org:editor': { name: 'Editor', permissions: ['org:tasks:write'] } },
  ...(environment === 'development' && { connections: { google: {} } }),
}))
`,
    )
    expect(await run(['apply', '--file', file, '--yes'])).toMatchObject({ code: 0 })
    const { publishable_key: publishableKey, secret_key: secretKey, url: apiUrl } = usher.ready
    using developed = startApp({ publishableKey, secretKey, apiUrl, frontendUrl: apiUrl, proxyUrl: apiUrl })
    const local = await launchBrowser()
    try {
      const ada = await newPerson(local, 'ada')
      await signUp(ada, `http://localhost:${developed.port}`, 'ada@acme.test', () =>
        codeMailedTo(mail, 'ada@acme.test'),
      )
      expect(await whoAmI(ada)).toMatchObject({ status: 'signed-in' })
      expect(ada.problems.filter((problem) => !problem.includes('development keys'))).toEqual([])
    } finally {
      await local.close()
    }

    // Promoting says first what it would do, and needs the host of what it makes.
    expect((await run(['doctor'])).stderr).toContain('usher promote')
    expect((await run(['promote'])).stderr).toContain('--host')
    expect((await run(['promote', '--host', host])).stderr).toContain('--yes')
    const promoted = await run(['promote', '--host', host, '--yes'])
    expect(promoted).toMatchObject({ code: 0 })
    expect(promoted.stdout).toContain('+ roles.org:editor')
    expect(promoted.stdout).toContain('settings.password.minLength')
    expect(promoted.stdout).toContain('connections.google: not promoted')
    expect(promoted.stdout).toContain('GOOGLE_CLIENT_SECRET')

    // What is missing is said, thing by thing.
    const sick = await run(['doctor', '--json'])
    expect(sick.code).toBe(1)
    const missing = JSON.parse(sick.stdout).findings.filter((f: { state: string }) => f.state === 'missing')
    expect(missing.map((f: { about: string }) => f.about)).toEqual([
      'settings.homeUrl',
      'settings.allowedOrigins',
      'connections.google',
      'HTTPS',
    ])
    const own = { GOOGLE_CLIENT_ID: 'acme-client', GOOGLE_CLIENT_SECRET: 'the secret of acme at google' }
    const again = await run(['promote', '--yes'], own)
    expect(again).toMatchObject({ code: 0 })
    expect(again.stdout).toContain('+ connections.google')
    expect(again.stdout).not.toContain(own.GOOGLE_CLIENT_SECRET)
    expect(await run(['apply', '--file', file, '--instance', 'production', '--yes'])).toMatchObject({ code: 0 })
    // Promoting again leaves where production lives, and its credentials, alone.
    const third = await run(['promote', '--yes', '--json'])
    expect(JSON.parse(third.stdout)).toMatchObject({ applied: false, changes: [] })

    // Production: the same app with live keys, behind TLS.
    const keys = JSON.parse((await run(['keys', '--instance', 'production', '--json'])).stdout)
    expect(keys.publishable_key).toStartWith('pk_live_')
    using live = startApp({
      publishableKey: keys.publishable_key,
      secretKey: keys.secret_key,
      apiUrl,
      frontendUrl,
    })
    const sites = { 'auth.acme.test': Number(new URL(apiUrl).port), 'app.acme.test': live.port }
    {
      await using open = await startNginx(port, sites, { refusesOthers: false })
      const told = await run(['doctor'], { NODE_EXTRA_CA_CERTS: open.authorityFile })
      expect(told.code).toBe(1)
      expect(told.stdout).toContain('✗ proxy: whoever asks with "Host: localhost" is led to the development instance')
    }
    await using nginx = await startNginx(port, sites)
    const healthy = await run(['doctor'], { NODE_EXTRA_CA_CERTS: nginx.authorityFile })
    expect(healthy.stdout).toContain('Nothing is missing.')
    expect(healthy.code).toBe(0)
    // Somebody else's certificate is none.
    const untrusted = await run(['doctor'])
    expect(untrusted.stdout).toMatch(/✗ HTTPS: .*does not answer/)

    const browser = await launchBrowser([
      '--host-resolver-rules=MAP *.acme.test 127.0.0.1',
      `--ignore-certificate-errors-spki-list=${nginx.spki}`,
    ])
    try {
      const bob = await newPerson(browser, 'bob')
      await signUp(bob, appUrl, 'bob@acme.test', () => codeMailedTo(mail, 'bob@acme.test'))
      const me = await whoAmI(bob)
      expect(me).toMatchObject({ status: 'signed-in' })
      await screenshot(bob, 'promote-01-signed-up')
      // The session's cookie alone is enough for the application's server.
      await bob.page.goto(`${appUrl}/api/me`)
      expect(JSON.parse((await bob.page.textContent('body')) ?? '')).toEqual(me)
      const cookies = await bob.context.cookies()
      const client = cookies.find((cookie) => cookie.name.endsWith('__client') || cookie.name.includes('__client_'))
      expect(cookies.length).toBeGreaterThan(0)
      expect(client?.secure).toBe(true)
      expect((await live.clerk.users.getUser(me.userId)).emailAddresses[0]?.emailAddress).toBe('bob@acme.test')
      // People are not promoted: the two instances know nothing of each other.
      expect((await live.clerk.users.getUserList()).totalCount).toBe(1)

      const elsewhere = await newPerson(browser, 'bob-elsewhere')
      await elsewhere.page.goto(appUrl)
      await elsewhere.page
        .locator('.cl-socialButtonsIconButton__google, .cl-socialButtonsBlockButton__google')
        .waitFor()
      await screenshot(elsewhere, 'promote-02-sign-in')
      await signIn(elsewhere, appUrl, 'bob@acme.test')
      await elsewhere.page.locator('.cl-userButtonTrigger').waitFor()
      expect(await whoAmI(elsewhere)).toEqual(me)
      await screenshot(elsewhere, 'promote-03-signed-in')
      expect(bob.problems).toEqual([])
      expect(elsewhere.problems).toEqual([])
    } finally {
      await browser.close()
    }
  },
  180_000,
)
