import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'

test('O13 what is there for development is not there in production, whichever way it is asked for', async () => {
  const [dev, live] = [await testInstance(), await testInstance('production')]
  const pages = [
    ['GET', '/demo'],
    ['GET', '/sign-in'],
    ['GET', '/sign-up'],
    ['GET', '/waitlist'],
    ['GET', '/inbox'],
    ['GET', '/inbox.json'],
    ['GET', '/inbox/msg_1'],
    ['GET', '/inbox/msg_1/html'],
    ['GET', '/templates'],
    ['GET', '/templates/email'],
    ['GET', '/templates/email/verification_code'],
    ['GET', '/templates/email/verification_code/preview'],
    ['POST', '/templates/email/verification_code'],
    ['GET', '/demo-provider/google'],
    ['POST', '/demo-provider/google'],
  ] as const
  for (const [method, path] of pages) {
    const hidden = await live.fetch(path, { method })
    expect([path, hidden.status >= 400]).toEqual([path, true])
    // Neither do headers, which whoever is between could set, change the instance or its environment.
    const headers = { 'x-forwarded-host': dev.host, forwarded: `host=${dev.host}`, 'x-forwarded-proto': 'http' }
    const again = await live.fetch(path, { method, headers })
    expect([path, again.status]).toEqual([path, hidden.status])
  }
})

test('O13 a production instance knows no dev browser: a token in the address stands for nobody', async () => {
  const [dev, live] = [await testInstance(), await testInstance('production')]
  for (const t of [dev, live]) expect((await t.fetch('/v1/environment')).status).toBe(200)
  const made = await live.fetch('/v1/dev_browser', { method: 'POST' })
  expect(made.headers.get('clerk-db-jwt')).toBeNull()
  const asked = await live.fetch('/v1/client?__clerk_db_jwt=dvb_made_up')
  expect(asked.headers.get('clerk-db-jwt')).toBeNull()
  expect((await asked.json()).response).toBeNull()
})
