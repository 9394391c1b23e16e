import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { syncCredentials } from '../../apps/server/src/commands/sync-credentials.ts'
import { runUsher, temporaryDirectory } from '../support/usher.ts'
import { startIssuer } from './issuer.ts'
import { named } from './named.ts'
import { raw, startSyncServer, until, upgradeStatus } from './support.ts'

const [first, second, third] = ['the-first-shared-secret', 'the-second-shared-secret', 'the-third-shared-secret']
const step1 = Uint8Array.of(0, 0, 1, 0)

test('K8 shared tokens are replaced without a restart: the old one holds beside the new, then its sockets end', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'tokens')
  writeFileSync(file, `# of the first half of the year\n${first}\n\n`)
  await using server = await startSyncServer({
    args: ['--token-file', file],
    env: { USHER_TRUSTED_PROXIES: '127.0.0.1' },
  })
  const reload = async () => {
    server.process.kill('SIGHUP')
    await Bun.sleep(100)
  }
  const open = async (token: string) => {
    const socket = raw(`${server.wsUrl}/doc?token=${token}`)
    await socket.opened
    socket.socket.send(step1)
    await until(() => socket.frames.length > 0, 'answered')
    return { ...socket, isIn: socket.frames[0]?.[0] === 0 }
  }
  const old = await open(first)
  expect(old.isIn).toBe(true)
  expect((await open(second)).isIn).toBe(false)
  writeFileSync(file, `${first}\n${second}\n`)
  await reload()
  const fresh = await open(second)
  expect(fresh.isIn).toBe(true)
  // A file that is no good, at the wrong moment, opens no door and closes none.
  for (const text of ['', '\n# nothing\n']) {
    writeFileSync(file, text)
    await reload()
    expect((await open(first)).isIn).toBe(true)
  }
  using renewing = named(`${server.wsUrl}/doc`, { token: first })
  await renewing.opened
  renewing.socket.send(step1)
  renewing.say({ t: 'auth', token: second })
  expect(await renewing.heard('authed')).toEqual({ t: 'authed', expiresAt: null, access: 'write' })
  writeFileSync(file, `${second}\n${third}\n`)
  await reload()
  expect((await old.closed).code).toBe(4001)
  expect((await open(first)).isIn).toBe(false)
  expect((await open(third)).isIn).toBe(true)
  expect(fresh.socket.readyState).toBe(WebSocket.OPEN)
  expect(renewing.closing).toBeUndefined()
  // Behind a proxy the one who guesses is refused, and not everybody.
  const guess = (ip: string, token: string) =>
    upgradeStatus(`${server.wsUrl}/d?token=${token}`, { 'x-forwarded-for': ip })
  for (let i = 0; i < 5; i++) expect(await guess('192.0.2.1', `guess-${i}`)).toBe(101)
  expect(await guess('192.0.2.1', second)).toBe(429)
  expect(await guess('192.0.2.2', second)).toBe(101)
  // Who goes is told first, if it understands.
  const stopped = server.stop()
  await renewing.heard('goaway')
  expect((await renewing.closed).code).toBe(1012)
  expect(await stopped).toBe(0)
  const { stdout, stderr } = server.output()
  for (const token of [first, second, third]) expect(stdout + stderr).not.toContain(token)
}, 60_000)

test('K8 a stand-alone server does not start with credentials that would leave the door open', async () => {
  using directory = temporaryDirectory()
  const empty = join(directory.path, 'empty')
  writeFileSync(empty, '# soon\n')
  const cases: [string[], string][] = [
    [['--token-file', empty], 'There is no token in'],
    [['--token-file', join(directory.path, 'missing')], 'cannot be read'],
    [['--jwks', 'https://id.example/jwks'], 'belong together'],
    [['--issuer', 'https://id.example'], 'belong together'],
    [['--issuer', 'https://id.example', '--audience', 'a', '--token', first], 'give one of them'],
    [['--issuer', 'nonsense', '--audience', 'a'], '--issuer'],
    [['--issuer', 'https://id.example', '--audience', ''], '--issuer'],
    [['--rules', empty], 'give --issuer too'],
  ]
  for (const [args, says] of cases) {
    const flags = Object.fromEntries(args.flatMap((arg, i) => (i % 2 ? [] : [[arg.slice(2), args[i + 1]]])))
    expect(() => syncCredentials(flags, undefined)).toThrow(says)
  }
  const { code, stderr } = await runUsher(['sync-server', 'start', '--data', directory.path, '--token-file', empty])
  expect(code).toBe(1)
  expect(stderr).toContain('There is no token in')
}, 60_000)

test('a stand-alone server takes tokens of an issuer: those that name a document, and by rules all others', async () => {
  using issuer = await startIssuer()
  using directory = temporaryDirectory()
  const rules = join(directory.path, 'rules.json')
  writeFileSync(rules, JSON.stringify([{ pattern: '{organization}/*', write: 'edit' }]))
  await using server = await startSyncServer({
    args: ['--issuer', issuer.url, '--audience', issuer.audience, '--jwks', `${issuer.url}/jwks`, '--rules', rules],
    env: { USHER_EGRESS_ALLOW: issuer.host },
  })
  const enter = async (docId: string, token: string): Promise<string | number> => {
    using socket = named(`${server.wsUrl}/${docId}`)
    await socket.opened
    socket.say({ t: 'auth', token })
    await until(() => socket.texts.length > 0 || socket.closing !== undefined, 'answered')
    return socket.closing?.code ?? String(socket.texts[0]?.access)
  }
  const cases: [string, Record<string, unknown>, string | number][] = [
    ['acme/1', { org_id: 'acme' }, 'read'],
    ['acme/1', { org_id: 'acme', permissions: ['edit'] }, 'write'],
    ['other/1', { org_id: 'acme' }, 4403],
    ['one', { room: 'one', access: 'write' }, 'write'],
    ['one', { room: 'one', access: 'read' }, 'read'],
    ['one', { room: 'one' }, 4403],
    ['two', { room: 'one', access: 'write' }, 4403],
    ['set/2', { room: 'set/*', access: 'admin' }, 'write'],
    // A token that is for one document is not for others, whatever the rules would say.
    ['acme/1', { org_id: 'acme', permissions: ['edit'], room: 'one', access: 'write' }, 4403],
    ['acme/1', { org_id: 'acme', permissions: ['edit'], room: ['acme/1'], access: 'write' }, 4403],
  ]
  for (const [docId, claims, expected] of cases)
    expect([docId, claims, await enter(docId, await issuer.sign(claims))]).toEqual([docId, claims, expected])
  expect(await enter('acme/1', await issuer.sign({ org_id: 'acme', aud: 'other' }))).toBe(4001)
  // A key that is new at the issuer; the first look was just now, so that it takes half a minute.
  await issuer.addKey('second')
  expect(await enter('acme/1', await issuer.sign({ org_id: 'acme' }, { kid: 'second' }))).toBe(4001)
  expect(issuer.state.fetches).toBe(1)
}, 60_000)
