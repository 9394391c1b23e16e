import { afterEach, expect, test } from 'bun:test'
import { eq, sql } from 'drizzle-orm'
import { loadConfig } from '../../config.ts'
import { transaction } from '../../database/index.ts'
import { createLog } from '../../kernel/log.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailTransport } from './mail-transport.ts'
import { queueMessage } from './queue-message.ts'
import { MessageSender } from './sender.ts'
import { messages } from './tables.ts'
import { type TextProvider, textTransport } from './text-transport.ts'

const secret = 'a-very-secret-token'
type Received = { path: string; authorization: string | null; type: string | null; form: Record<string, string> }

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** As much of a provider as a sender meets. */
async function withProvider(
  answer: (n: number) => Response | Promise<Response> = () => Response.json({ sid: 'SM1' }, { status: 201 }),
  provider: Partial<TextProvider> = {},
) {
  const t = await testInstance('production')
  const received: Received[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const form = Object.fromEntries(new URLSearchParams(await request.text()))
      const { headers } = request
      received.push({
        path: new URL(request.url).pathname,
        authorization: headers.get('authorization'),
        type: headers.get('content-type'),
        form,
      })
      return answer(received.length)
    },
  })
  open.push(() => server.stop(true))
  const database = { ...t.server.runtime.database } as typeof t.server.runtime.database
  const transport = textTransport({
    url: `http://127.0.0.1:${server.port}`,
    accountSid: 'AC123',
    user: 'AC123',
    secret,
    from: '+15550009999',
    ...provider,
  })
  const sender = new MessageSender(database, transport, createLog('fatal'))
  open.push(() => sender.stop())
  return { t, received, sender, ctx: { ...t.ctx(), database } }
}

const soon = () => new Date(Date.now() + 600_000)
const send = (ctx: ReturnType<TestInstance['ctx']>, expiresAt = soon(), to = '+4915211223344') =>
  transaction(ctx, (tx) =>
    queueMessage(tx, { channel: 'sms', template: 'verification_code', to, data: { code: '123456' }, expiresAt }),
  )
const rowsOf = (t: TestInstance) => transaction(t.ctx(), (tx) => tx.db.select().from(messages))
const rowOf = async (t: TestInstance) => (await rowsOf(t))[0]

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200 && !(await condition()); i += 1) await Bun.sleep(25)
  expect(await condition()).toBe(true)
}

test('a text message is posted as a form, by the account’s name and secret, and its code is then forgotten', async () => {
  const { t, received, ctx } = await withProvider()
  await send(ctx)
  await until(async () => (await rowOf(t))?.state === 'sent')
  expect(received).toEqual([
    {
      path: '/2010-04-01/Accounts/AC123/Messages.json',
      authorization: `Basic ${btoa(`AC123:${secret}`)}`,
      type: 'application/x-www-form-urlencoded;charset=UTF-8',
      form: {
        To: '+4915211223344',
        From: '+15550009999',
        Body: `123456 is your code for ${t.ctx().instance.settings.applicationName}. Do not share it with anybody.`,
      },
    },
  ])
  expect(JSON.stringify(await rowOf(t))).not.toContain('123456')
})

test('a messaging service sends in place of a number, and an API key in place of the account', async () => {
  const from = `MG${'0123456789abcdef'.repeat(2)}`
  const { t, received, ctx } = await withProvider(undefined, { from, user: 'SK9' })
  await send(ctx)
  await until(async () => (await rowOf(t))?.state === 'sent')
  expect(received[0]?.form).toMatchObject({ MessagingServiceSid: from })
  expect(received[0]?.form.From).toBeUndefined()
  expect(received[0]?.authorization).toBe(`Basic ${btoa(`SK9:${secret}`)}`)
})

test('what is refused for good is tried once; what says nothing of itself, or asks for patience, again', async () => {
  const answers: [Response, string, 'failed' | 'queued'][] = [
    [Response.json({ code: 21211, message: `no such number ${secret}` }, { status: 400 }), 'http_400_21211', 'failed'],
    [Response.json({ code: 20003 }, { status: 401 }), 'http_401_20003', 'failed'],
    [new Response('gone', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }), 'http_302', 'failed'],
    [new Response('<html>', { status: 503 }), 'http_503', 'queued'],
    [Response.json({ code: 20429 }, { status: 429, headers: { 'retry-after': '42' } }), 'http_429_20429', 'queued'],
  ]
  for (const [answer, reason, state] of answers) {
    const { t, received, ctx } = await withProvider(() => answer)
    await send(ctx)
    await until(async () => (await rowOf(t))?.lastError != null)
    const row = await rowOf(t)
    expect([row?.lastError, row?.state]).toEqual([reason, state])
    expect(JSON.stringify(row)).not.toContain(secret)
    const wait = ((row?.nextAttemptAt.getTime() ?? 0) - Date.now()) / 1000
    if (answer.status === 429) expect(Math.abs(wait - 42)).toBeLessThan(3)
    expect(received).toHaveLength(1)
  }
})

test('a provider that fails at first gets the message in the end', async () => {
  const { t, received, ctx, sender } = await withProvider((n) =>
    n === 1 ? new Response('', { status: 500 }) : Response.json({}, { status: 201 }),
  )
  await send(ctx)
  await until(async () => (await rowOf(t))?.lastError != null)
  await transaction(t.ctx(), (tx) =>
    tx.db.update(messages).set({ nextAttemptAt: sql`now()` }).where(eq(messages.channel, 'sms')),
  )
  sender.wake()
  await until(async () => (await rowOf(t))?.state === 'sent')
  expect(received).toHaveLength(2)
})

test('nothing leaves after it is worthless, and no attempt is planned for then', async () => {
  const { t, received, ctx } = await withProvider(() => new Response('', { status: 503 }))
  await send(ctx, new Date(Date.now() - 1000))
  await until(async () => (await rowOf(t))?.state === 'failed')
  expect(received).toEqual([])
  expect(await rowOf(t)).toMatchObject({ lastError: 'expired', text: '', attempts: 0 })
  const late = await withProvider(() => new Response('', { status: 503 }))
  await send(late.ctx, new Date(Date.now() + 3000))
  await until(async () => (await rowOf(late.t))?.state === 'failed')
  expect(late.received).toHaveLength(1)
  expect(await rowOf(late.t)).toMatchObject({ lastError: 'http_503', text: '' })
})

test('a provider that answers nothing delays neither emails nor the texts that it does answer', async () => {
  const { promise: hanging, resolve: release } = Promise.withResolvers<Response>()
  const { t, received, ctx } = await withProvider((n) => (n <= 3 ? hanging : Response.json({}, { status: 201 })))
  const mails: string[] = []
  const mail = new MessageSender(
    ctx.database,
    {
      channel: 'email',
      deliver: async ({ toAddress }) => {
        mails.push(toAddress)
        return { result: 'sent' }
      },
      close: () => {},
    },
    createLog('fatal'),
  )
  for (let i = 0; i < 30; i += 1) await send(ctx, soon(), `+49151123456${10 + i}`)
  await transaction(ctx, (tx) =>
    queueMessage(tx, { channel: 'email', template: 'password_changed', to: 'ada@example.com', data: {} }),
  )
  await until(() => received.length === 30 && mails.length === 1)
  await until(async () => (await rowsOf(t)).filter((m) => m.state === 'sent').length === 28)
  release(new Response('', { status: 500 }))
  await mail.stop()
}, 60_000)

test('SMTP: an answer for good is not asked for twice', async () => {
  const t = await testInstance('production')
  const { createServer } = await import('node:net')
  let attempts = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.write('220 test\r\n')
    socket.on('data', (chunk) => {
      const line = String(chunk)
      if (/^RCPT/i.test(line)) {
        attempts += 1
        socket.write('550 no such mailbox\r\n')
      } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n')
      else socket.write('250 test\r\n')
    })
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  open.push(() => server.close())
  const database = { ...t.server.runtime.database } as typeof t.server.runtime.database
  const smtpUrl = `smtp://127.0.0.1:${(server.address() as { port: number }).port}`
  const sender = new MessageSender(database, mailTransport({ smtpUrl, from: 'a@example.com' }), createLog('fatal'))
  open.push(() => sender.stop())
  await transaction({ ...t.ctx(), database }, (tx) =>
    queueMessage(tx, { channel: 'email', template: 'password_changed', to: 'gone@example.com', data: {} }),
  )
  await until(async () => (await rowOf(t))?.state === 'failed')
  expect(await rowOf(t)).toMatchObject({ lastError: 'smtp_550', attempts: 1 })
  expect(attempts).toBe(1)
})

test('without a provider a production instance refuses to text, and says what is missing', async () => {
  const t = await testInstance('production')
  await expect(send(t.ctx())).rejects.toMatchObject({ code: 'unavailable' })
  const dataDir = '/tmp/usher-test-config'
  expect(() => loadConfig({ USHER_SMS_ACCOUNT: 'AC1' }, { dataDir })).toThrow('USHER_SMS_SECRET, USHER_SMS_FROM')
  const all = { USHER_SMS_ACCOUNT: 'AC1', USHER_SMS_SECRET: secret, USHER_SMS_FROM: '+15550009999' }
  expect(loadConfig(all, { dataDir }).textProvider).toEqual({
    url: 'https://api.twilio.com',
    accountSid: 'AC1',
    user: 'AC1',
    secret,
    from: '+15550009999',
  })
})
