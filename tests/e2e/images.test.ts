import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import {
  chromiumPath,
  enterTestCode,
  launchBrowser,
  mailTo,
  newPerson,
  screenshot,
  submit,
} from '../support/browser.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

test.skipIf(!chromiumPath)(
  'a profile image and a logo are uploaded in the components, seen at once, and removed',
  async () => {
    const { url } = usher.ready
    const cleo = await newPerson(browser, 'cleo')
    const { page } = cleo
    await page.goto(`${url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'cleo+clerk_test@example.com')
    await page.fill('input[name=password]', 'a long enough password 1')
    await enterTestCode(page)
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()

    // A picture that the browser itself draws, so that the upload is what a person would choose.
    const drawn = await page.evaluate(() => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 900, height: 700 })
      const context = canvas.getContext('2d')
      if (!context) throw new Error('no canvas')
      context.fillStyle = '#0d9488'
      context.fillRect(0, 0, 900, 700)
      context.fillStyle = '#fef3c7'
      context.arc(450, 350, 240, 0, 7)
      context.fill()
      return canvas.toDataURL('image/jpeg', 0.9).split(',')[1] ?? ''
    })
    const file = { name: 'me.jpg', mimeType: 'image/jpeg', buffer: Buffer.from(drawn, 'base64') }

    await page.click('.cl-userButtonTrigger')
    await page.getByText('Manage account').click()
    await page.getByRole('button', { name: 'Update profile' }).click()
    await page.locator('input[type=file]').setInputFiles(file)
    const avatar = page.locator('.cl-userProfile-root img[src*="/v1/images/img_"]').first()
    await avatar.waitFor()
    expect(await avatar.evaluate((img: HTMLImageElement) => [img.naturalWidth, img.naturalHeight])).toEqual([512, 398])
    await screenshot(cleo, 'images-01-profile')
    expect(cleo.problems).toEqual([])

    // What is no picture is refused with words, whatever its name says.
    const edit = page.getByRole('button', { name: 'Update profile' })
    // The form before it is still on its way out, and has a file input of its own.
    for (const end = Date.now() + 5000; (await page.locator('input[type=file]').count()) > 0; await Bun.sleep(50))
      if (Date.now() > end) throw new Error('the form stayed open')
    await edit.click()
    await page.locator('input[type=file]').setInputFiles({ ...file, buffer: Buffer.from('not a picture at all') })
    await page.getByText('File type not supported.').first().waitFor()
    await screenshot(cleo, 'images-02-refused')
    // Chromium reports every answer with an error.
    expect(cleo.problems.every((problem) => problem.includes('400'))).toBe(true)
    cleo.problems.length = 0

    await page.getByRole('button', { name: 'Remove' }).click()
    await avatar.waitFor({ state: 'detached' })
    await screenshot(cleo, 'images-03-removed')

    // The browser SDK's own methods: a picture as text, and a logo.
    const seen = await page.evaluate(async (base64) => {
      // biome-ignore lint/suspicious/noExplicitAny: what the script tag has left there
      const clerk = (globalThis as any).Clerk
      await clerk.user.setProfileImage({ file: `data:image/jpeg;base64,${base64}` })
      const organization = await clerk.createOrganization({ name: 'Frontiers' })
      const blob = new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))])
      const withLogo = await organization.setLogo({ file: blob })
      const logo = [withLogo.hasImage, withLogo.imageUrl]
      const without = await withLogo.setLogo({ file: null })
      return { user: [clerk.user.hasImage, clerk.user.imageUrl], logo, without: without.hasImage }
    }, drawn)
    const stored = expect.stringMatching(/\/v1\/images\/img_\w+$/)
    expect(seen).toEqual({ user: [true, stored], logo: [true, stored], without: false })
    expect(cleo.problems).toEqual([])
  },
  60_000,
)

test.skipIf(!chromiumPath)(
  'a developer edits a template, sees the preview, and finds the email in the inbox',
  async () => {
    const { url } = usher.ready
    const dev = await newPerson(browser, 'dev')
    const { page } = dev
    await page.goto(`${url}/templates`)
    await screenshot(dev, 'templates-01-list')
    await page.getByRole('link', { name: 'Verification code' }).click()
    const frame = page.frameLocator('iframe[name=preview]')
    await frame.getByText('123456').first().waitFor()
    await screenshot(dev, 'templates-02-editor')
    await page.getByLabel('Text').fill('Dear reader,\n\n{{code}}\n\n> Yours, {{application_name}}')
    await page.getByRole('button', { name: 'Preview' }).click()
    await frame.getByText('Dear reader,').waitFor()
    await screenshot(dev, 'templates-03-preview')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    await page.getByLabel('Text').fill('no code')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('alert').getByText('The body lacks {{code}}.').waitFor()
    await screenshot(dev, 'templates-04-problem')
    await page.getByRole('link', { name: 'German' }).click()
    await frame.getByText('Gib diesen Code ein').waitFor()
    await screenshot(dev, 'templates-05-german')
    expect(dev.problems).toEqual([])

    await page.goto(`${url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'dora@example.com')
    await page.fill('input[name=password]', 'a long enough password 1')
    await submit(page)
    await mailTo(url, 'dora@example.com', 'verification_code')
    await page.goto(`${url}/inbox`)
    await screenshot(dev, 'templates-06-inbox')
    await page.getByRole('link', { name: 'dora@example.com' }).first().click()
    await page.frameLocator('iframe').getByText('Dear reader,').waitFor()
    await screenshot(dev, 'templates-07-mail')
    expect(dev.problems).toEqual([])
  },
  60_000,
)
