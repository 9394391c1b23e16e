import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'

export const chromiumPath = process.env.USHER_TEST_CHROMIUM ?? ''

/** Where screenshots go, to be looked at. */
const screenshots = process.env.USHER_TEST_SCREENSHOTS

/** @param args further flags, e.g. of names that only this browser knows */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...args,
    ],
  })
}

export type Person = { name: string; page: Page; context: BrowserContext; problems: string[] }

/** A person with a browser profile of their own; what their console complains about is kept. */
export async function newPerson(browser: Browser, name: string): Promise<Person> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', (message) => {
    // Browsers ask for this by themselves, also where a page names another icon.
    if (message.location().url.endsWith('/favicon.ico')) return
    if (message.type() === 'error') problems.push(`${message.text()} (${message.location().url})`)
  })
  page.on('pageerror', (error) => problems.push(error.message))
  page.setDefaultTimeout(30_000)
  return { name, page, context, problems }
}

export async function screenshot({ name, page }: Person, what: string): Promise<void> {
  if (!screenshots) return
  mkdirSync(screenshots, { recursive: true })
  await page.screenshot({ path: join(screenshots, `${what}-${name}.png`) })
}

/**
 * Presses a button of a component once it can be. By a key: what is said of a password appears a moment after it was typed,
 * and a choice that is made makes a page longer. Both move the button, and a click whose halves meet different places is none.
 */
export async function press(button: Locator): Promise<void> {
  await button.click({ trial: true })
  await button.press('Enter')
}

/** Sends the form of a component. */
export const submit = (page: Page): Promise<void> => press(page.locator('.cl-formButtonPrimary'))

/**
 * Does what makes the server send a code, and types the code of test addresses when it has been sent: the fields are there
 * before, and what is typed then is of no code.
 */
export async function enterTestCode(page: Page, ask = () => submit(page)): Promise<void> {
  const sent = page.waitForResponse(/\/prepare_verification/)
  await Promise.all([sent, ask()]).catch(async (error) => {
    const fields = await page
      .locator('input')
      .evaluateAll((all) =>
        (all as HTMLInputElement[]).map(
          ({ name, value, validationMessage }) => `${name}: ${value.length} ${validationMessage}`,
        ),
      )
    throw new Error(`${error}\n${page.url()}\n${fields.join('\n')}\n${await page.locator('body').ariaSnapshot()}`)
  })
  await page.locator('input[autocomplete=one-time-code]').pressSequentially('424242')
}

type Mail = { to: string; template: string; code: string | null; links: string[] }

/** The newest email to an address, as the development inbox shows it. */
export async function mailTo(url: string, address: string, template: string): Promise<Mail> {
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    const response = await fetch(`${url}/inbox.json?to=${encodeURIComponent(address)}`)
    const { data } = (await response.json()) as { data: Mail[] }
    const found = data.find((mail) => mail.template === template)
    if (found) return found
    await Bun.sleep(50)
  }
  throw new Error(`no ${template} arrived for ${address}`)
}
