import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { runUsher } from '../support/usher.ts'
import { connect, raw, type SyncServerProcess, startSyncServer, until, upgradeStatus } from './support.ts'

const token = 'my-shared-secret'
let server: SyncServerProcess
beforeAll(async () => {
  server = await startSyncServer({ args: ['--token', token] })
})
afterAll(() => server[Symbol.asyncDispose]())

describe('level 2', () => {
  test('the holder of the token is in, by query and by subprotocol', async () => {
    using a = connect(server.wsUrl, 'doc', { params: { token } })
    await a.synced()
    a.doc.getText('t').insert(0, 'hi')
    const bearer = raw(`${server.wsUrl}/doc`, {
      protocols: ['usher.v1', `bearer.${Buffer.from(token).toString('base64url')}`],
    })
    await bearer.opened
    expect(bearer.socket.protocol).toBe('usher.v1')
    await until(() => bearer.frames.length > 0, 'greeted')
    bearer.socket.close()
  })

  test('a missing and a wrong token are refused with 4001, and no document byte is sent', async () => {
    for (const query of ['', '?token=', '?token=my-shared-secre', `?token=${token}x`]) {
      const { frames, closed } = raw(`${server.wsUrl}/doc-${query.length}${query}`)
      expect((await closed).code).toBe(4001)
      expect(frames.map((frame) => frame[0])).toEqual([2])
    }
  }, 60_000)

  test('K1 a page of the origin "null" is refused even with the token', async () => {
    expect(await upgradeStatus(`${server.wsUrl}/doc?token=${token}`, { origin: 'null' })).toBe(403)
  })

  test('K5 frames before the refusal change nothing, and a client that talks on is cut off', async () => {
    const update = Uint8Array.from([0, 2, 11, 1, 1, 1, 0, 4, 1, 1, 116, 1, 97, 0])
    const talker = raw(`${server.wsUrl}/secret-doc`)
    await talker.opened
    for (let i = 0; i < 5; i++) talker.socket.send(update)
    expect((await talker.closed).code).toBe(4001)
    const flooder = raw(`${server.wsUrl}/secret-doc-2`)
    await flooder.opened
    const start = performance.now()
    flooder.socket.send(new Uint8Array(100_000))
    // Not read at all, and gone no later than it would have been.
    expect((await flooder.closed).code).toBe(4001)
    expect(performance.now() - start).toBeLessThan(2500)
    using reader = connect(server.wsUrl, 'secret-doc', { params: { token } })
    await reader.synced()
    expect(reader.doc.getText('t').toString()).toBe('')
    expect(reader.doc.store.clients.size).toBe(0)
  }, 60_000)
})

test('K8 after five wrong tokens in a minute an address is refused, whatever it says then', async () => {
  await using own = await startSyncServer({ args: ['--token', token] })
  for (let i = 0; i < 5; i++) expect((await raw(`${own.wsUrl}/d?token=guess-${i}`).closed).code).toBe(4001)
  const start = performance.now()
  let refused = 0
  for (let i = 0; i < 60; i++) if ((await upgradeStatus(`${own.wsUrl}/d?token=guess-${i + 10}`)) === 429) refused++
  expect(refused).toBe(60)
  expect(await upgradeStatus(`${own.wsUrl}/d?token=${token}`)).toBe(429)
  expect(performance.now() - start).toBeLessThan(10_000)
  expect(own.output().stderr + own.output().stdout).not.toContain('guess-')
}, 60_000)

test('K8 an empty token stops the start; a short one and an open server on the network are warned about', async () => {
  for (const [args, env] of [
    [['sync-server', 'start', '--token', ''], {}],
    [['sync-server', 'start', '--port', '0'], { USHER_SYNC_TOKEN: '' }],
  ] as const) {
    const { code, stderr } = await runUsher([...args], { ...env, USHER_DATA_DIR: '/tmp/never-made' })
    expect(code).toBe(1)
    expect(stderr).toContain('token is empty')
  }
  await using open = await startSyncServer({ args: ['--listen', '0.0.0.0'] })
  expect(open.output().stderr).toContain('there is no token')
  await using short = await startSyncServer({ args: ['--token', 'short'] })
  expect(short.output().stderr).toContain('shorter than 16 bytes')
}, 60_000)

test('K1 level 1 on loopback takes no pages of other sites', async () => {
  await using open = await startSyncServer()
  expect(await upgradeStatus(`${open.wsUrl}/d`, { origin: 'https://evil.example' })).toBe(403)
  expect(await upgradeStatus(`${open.wsUrl}/d`, { origin: 'null' })).toBe(403)
  const local = raw(`${open.wsUrl}/d`, { headers: { origin: 'http://localhost:8080' } })
  await local.opened
  local.socket.close()
}, 60_000)
