import { afterEach, expect, test } from 'bun:test'
import { createServer, type Server, type Socket } from 'node:net'
import { eq, sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import { createLog } from '../../kernel/log.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { deleteOldMessages } from './delete-old-messages.ts'
import { mailTransport } from './mail-transport.ts'
import { queueEmail } from './queue-message.ts'
import { MessageSender } from './sender.ts'
import { messages } from './tables.ts'

type MailServer = { url: string; received: { to: string; data: string }[]; close: () => Promise<void> }
type Behaviour = { delayMs?: number; refuse?: boolean }

/** As much of a mail server as a sender meets: it takes every message, late or not at all if told so. */
async function mailServer({ delayMs = 0, refuse = false }: Behaviour = {}): Promise<MailServer> {
  const received: MailServer['received'] = []
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    let buffered = ''
    let to = ''
    let inData = false
    socket.write('220 test\r\n')
    socket.on('data', (chunk) => {
      buffered += chunk
      for (;;) {
        const end = inData ? '\r\n.\r\n' : '\r\n'
        const at = buffered.indexOf(end)
        if (at < 0) return
        const line = buffered.slice(0, at)
        buffered = buffered.slice(at + end.length)
        if (inData) {
          inData = false
          received.push({ to, data: line })
          setTimeout(() => socket.write('250 ok\r\n'), delayMs)
        } else if (/^RCPT/i.test(line)) {
          to = line.match(/<(.*)>/)?.[1] ?? ''
          socket.write(refuse ? '451 later\r\n' : '250 ok\r\n')
        } else if (/^DATA/i.test(line)) {
          inData = true
          socket.write('354 go\r\n')
        } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n')
        else socket.write('250 test\r\n')
      }
    })
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as { port: number }
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((closed) => server.close(closed))
  }
  return { url: `smtp://127.0.0.1:${port}`, received, close }
}

const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function withMailServer(behaviour?: Behaviour, environment?: 'development' | 'production') {
  const [t, mail] = [await testInstance(environment), await mailServer(behaviour)]
  open.push(() => mail.close())
  const sender = () => {
    // Each node has a database handle of its own; what a test makes is known by it alone.
    const database = { ...t.server.runtime.database } as typeof t.server.runtime.database
    const transport = mailTransport({ smtpUrl: mail.url, from: 'Usher <no-reply@example.com>' })
    const made = new MessageSender(database, transport, createLog('fatal'))
    open.push(() => made.stop())
    return { sender: made, ctx: { ...t.ctx(), database } }
  }
  return { t, mail, node: sender }
}

const queue = (ctx: ReturnType<TestInstance['ctx']>, to: string) =>
  transaction(ctx, (tx) => queueEmail(tx, { template: 'verification_code', to, data: { code: '123456' } }))
const rowsOf = (t: TestInstance) => transaction(t.ctx(), (tx) => tx.db.select().from(messages))

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200 && !(await condition()); i += 1) await Bun.sleep(25)
  expect(await condition()).toBe(true)
}

const allSent = async (t: TestInstance) => (await rowsOf(t)).every((m) => m.state === 'sent')

test('an email leaves after its commit, once, to its one address; none of a transaction that failed', async () => {
  const { t, mail, node } = await withMailServer()
  const { ctx } = node()
  await queue(ctx, 'ada@example.com')
  const failed = transaction(ctx, async (tx) => {
    await queueEmail(tx, { template: 'verification_code', to: 'eve@example.com', data: { code: '1' } })
    throw new Error('undone')
  })
  await expect(failed).rejects.toThrow('undone')
  await until(() => allSent(t))
  expect(mail.received.map((m) => m.to)).toEqual(['ada@example.com'])
  expect(mail.received[0]?.data).toContain('123456')
  expect((await rowsOf(t))[0]).toMatchObject({ attempts: 1, lastError: null })
})

test('what was sent keeps its code in a development inbox, and nowhere in production', async () => {
  for (const environment of ['development', 'production'] as const) {
    const { t, mail, node } = await withMailServer({}, environment)
    await queue(node().ctx, 'ada@example.com')
    await until(() => allSent(t))
    expect(mail.received[0]?.data).toContain('123456')
    expect(JSON.stringify(await rowsOf(t)).includes('123456')).toBe(environment === 'development')
  }
})

test('two nodes that wake together send each email once', async () => {
  const { t, mail, node } = await withMailServer()
  const [one, two] = [node(), node()]
  for (let i = 0; i < 60; i += 1) {
    await queue(i % 2 ? one.ctx : two.ctx, `g${i}@example.com`)
    one.sender.wake()
    two.sender.wake()
  }
  await until(() => allSent(t))
  expect(mail.received).toHaveLength(60)
  expect(new Set(mail.received.map((m) => m.to)).size).toBe(60)
}, 60_000)

test('an email that a slow mail server is still taking is not sent by another node', async () => {
  const { t, mail, node } = await withMailServer({ delayMs: 7_000 })
  const [one, two] = [node(), node()]
  await queue(one.ctx, 'ada@example.com')
  await until(() => mail.received.length === 1)
  await Bun.sleep(5_500)
  two.sender.wake()
  await Bun.sleep(500)
  expect(mail.received).toHaveLength(1)
  await until(() => allSent(t))
  expect(mail.received).toHaveLength(1)
}, 60_000)

test('a refused email waits longer each time, and is given up in the end', async () => {
  const { t, mail, node } = await withMailServer({ refuse: true })
  const { ctx, sender } = node()
  await queue(ctx, 'ada@example.com')
  const waits: number[] = []
  for (let attempt = 1; attempt <= 7; attempt += 1) {
    await until(async () => {
      const [m] = await rowsOf(t)
      return m?.attempts === attempt && m.lastError !== null
    })
    const [m] = await rowsOf(t)
    waits.push(Math.round(((m?.nextAttemptAt.getTime() ?? 0) - Date.now()) / 1000))
    expect(m?.state).toBe(attempt < 7 ? 'queued' : 'failed')
    await transaction(t.ctx(), (tx) =>
      tx.db
        .update(messages)
        .set({ nextAttemptAt: sql`now() - interval '1 second'`, lastError: null })
        .where(eq(messages.id, m?.id ?? '')),
    )
    sender.wake()
  }
  for (const [i, seconds] of [5, 30, 120, 600, 3600, 14_400].entries())
    expect(Math.abs((waits[i] ?? 0) - seconds)).toBeLessThanOrEqual(3)
  sender.wake()
  await Bun.sleep(100)
  expect((await rowsOf(t))[0]).toMatchObject({ state: 'failed', attempts: 7 })
  expect(mail.received).toEqual([])
}, 60_000)

test('a month after it was sent nothing is left of a message; one that waits stays', async () => {
  const t = await testInstance()
  for (const to of ['ada@example.com', 'bob@example.com']) await queue(t.ctx(), to)
  await transaction(t.ctx(), (tx) =>
    tx.db.update(messages).set({ state: 'queued' }).where(eq(messages.toAddress, 'bob@example.com')),
  )
  t.advance(29 * 86_400_000)
  expect(await transaction(t.ctx(), (tx) => deleteOldMessages(tx, 10))).toBe(0)
  t.advance(2 * 86_400_000)
  expect(await transaction(t.ctx(), (tx) => deleteOldMessages(tx, 10))).toBe(1)
  expect((await rowsOf(t)).map((m) => m.toAddress)).toEqual(['bob@example.com'])
})

test('without a mail server development keeps an email for the inbox; production refuses, and so does what caused it', async () => {
  const [development, production] = [await testInstance(), await testInstance('production')]
  await queue(development.ctx(), 'ada@example.com')
  expect((await rowsOf(development))[0]).toMatchObject({ state: 'kept', attempts: 0 })
  await expect(queue(production.ctx(), 'ada@example.com')).rejects.toMatchObject({ code: 'unavailable' })
  expect(await rowsOf(production)).toEqual([])
})
