import { expect, test } from 'bun:test'
import { randomFrom } from '../fuzz/random.ts'
import { serverSdk } from '../support/clerk.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { startProxy, type TcpProxy } from '../support/proxy.ts'
import { intruder, redisServer, startRedis } from '../support/redis.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'
import { connect, generous, until, Y } from './support.ts'

// A token lives five minutes at most, and that is how long the same two people stay.
const rounds = process.env.USHER_LONG_TESTS ? 12 : 1
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
console.log(`seed ${seed}`)

test.skipIf(!postgresBin || !redisServer)(
  'R-N10: Redis cut off in one direction, full, and replaced by its replica: documents agree and revocations arrive',
  async () => {
    const random = randomFrom(seed)
    await using postgres = await startPostgres()
    await using master = await startRedis()
    await using replica = await startRedis()
    await replica.command('replicaof', '127.0.0.1', String(master.port))
    await using proxyOfOne = await startProxy(master.port)
    await using proxyOfTwo = await startProxy(master.port)
    const start = (proxy: TcpProxy) =>
      startUsher({
        env: {
          ...generous,
          DATABASE_URL: postgres.url,
          REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
          LOG_LEVEL: 'fatal',
        },
      })
    await using one = await start(proxyOfOne)
    await using two = await start(proxyOfTwo)
    const proxies = [proxyOfOne, proxyOfTwo]
    const nodes = [one, two]
    const sdk = serverSdk(one.ready)
    const user = await sdk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
    const docId = `${user.id}/note`
    const tokenFor = async (sessionId: string) => {
      const answer = await fetch(`${one.ready.url}/v1/sync_tokens`, {
        method: 'POST',
        headers: { authorization: `Bearer ${one.ready.secret_key}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          doc_id: docId,
          user_id: user.id,
          session_id: sessionId,
          access: 'write',
          expires_in_seconds: 300,
        }),
      })
      return ((await answer.json()) as { token: string }).token
    }
    const open = ({ ready }: UsherProcess, token: string) =>
      connect(`${ready.url.replace('http', 'ws')}/sync`, docId, { token })
    const session = await sdk.sessions.createSession({ userId: user.id })
    const token = await tokenFor(session.id)
    using ada = open(one, token)
    using bob = open(two, token)
    await Promise.all([ada.synced(), bob.synced()])
    const ends = [ada, bob]
    let said = 0
    /** Both write at once. @returns how long it took until each had what the other wrote */
    const exchange = (ms: number) =>
      Promise.all(
        ends.map((from, i) => {
          const mark = `<${said++}>`
          from.text.insert(random(from.text.length + 1), mark)
          return until(
            () => (ends[1 - i] as typeof ada).text.toString().includes(mark),
            `arrived at ${1 - i}: ${mark}`,
            ms,
          )
        }),
      )
    const connected = async (ms = 10_000) => {
      const isWell = async ({ ready }: UsherProcess) =>
        ((await (await fetch(`${ready.url}/readyz`)).json()) as { redis: string }).redis === 'ok'
      await until(async () => (await isWell(one)) && (await isWell(two)), 'connected', ms)
    }
    /** What PostgreSQL alone tells, whatever becomes of Redis. */
    const revocation = async () => {
      const ending = await sdk.sessions.createSession({ userId: user.id })
      const endingToken = await tokenFor(ending.id)
      using here = open(one, endingToken)
      using there = open(two, endingToken)
      await Promise.all([here.synced(), there.synced()])
      await sdk.sessions.revokeSession(ending.id)
      expect(await until(() => here.closes.length > 0 && there.closes.length > 0, 'closed', 5000)).toBeLessThan(1000)
      expect([here.closes[0], there.closes[0]]).toEqual([4401, 4401])
    }
    const agree = () =>
      until(
        () => Buffer.compare(Y.encodeStateAsUpdate(ada.doc), Y.encodeStateAsUpdate(bob.doc)) === 0,
        'the same',
        2000,
      )
    const seen = async (what: string) => {
      ada.client.awareness.setLocalStateField('name', what)
      await until(
        () => [...bob.client.awareness.getStates().values()].some(({ name }) => name === what),
        `seen: ${what}`,
      )
    }

    const oneWay = (direction: 'there' | 'back') => async () => {
      const proxy = proxies[random(2)] as TcpProxy
      proxy.hold(direction)
      // Until somebody notices the silence rooms are compared every 5 s.
      const startedAt = performance.now()
      expect(Math.max(...(await exchange(8000)))).toBeLessThan(6500)
      await Bun.sleep(Math.max(0, startedAt + 4200 - performance.now()))
      // From then on twice a second.
      expect(Math.max(...(await exchange(5000)))).toBeLessThan(1500)
      await revocation()
      proxy.thaw()
    }
    const faults: Record<string, () => Promise<void>> = {
      'one node hears and is not heard': oneWay('there'),
      'one node is heard and does not hear': oneWay('back'),
      'those who listen are thrown out': async () => {
        expect(await master.command('client', 'kill', 'type', 'pubsub')).toBe(':2')
        expect(Math.max(...(await exchange(5000)))).toBeLessThan(1500)
      },
      'somebody listens too slowly': async () => {
        await master.command('config', 'set', 'client-output-buffer-limit', '"pubsub 300000 300000 1"')
        const slow = random(2)
        proxies[slow]?.hold('back')
        const listening = async () =>
          ((await master.command('client', 'list', 'type', 'pubsub')).match(/ addr=/g) ?? []).length
        const channel = /usher:\S+:beat/.exec(await master.command('pubsub', 'channels'))?.[0] as string
        using eve = await intruder(master.port)
        const bytes = Buffer.alloc(100_000, 'x')
        // Beside the two, the one who says it listens as well.
        for (let i = 0; i < 300 && (i < 10 || (await listening()) > 2); i++) {
          eve.say({ channel, bytes })
          await Bun.sleep(3)
        }
        expect(await listening()).toBe(2)
        proxies[slow]?.thaw()
        expect(Math.max(...(await exchange(8000)))).toBeLessThan(6500)
        await master.command('config', 'set', 'client-output-buffer-limit', '"pubsub 33554432 8388608 60"')
      },
    }
    await exchange(5000)
    for (let round = 0; round < rounds; round++) {
      const left = Object.keys(faults)
      while (left.length > 0) {
        const [name] = left.splice(random(left.length), 1) as [string]
        const startedAt = performance.now()
        await faults[name]?.()
        await connected()
        expect(Math.max(...(await exchange(5000)))).toBeLessThan(1000)
        await agree()
        await seen(`after: ${name}`)
        console.log(`${name}: ${(performance.now() - startedAt).toFixed(0)} ms`)
      }
    }

    // The master dies, the replica is asked while it is one, and takes over: it knows nothing of who listens.
    await until(
      async () => (await replica.command('info', 'replication')).includes('master_link_status:up'),
      'replicated',
    )
    await master.kill()
    for (const proxy of proxies) proxy.lead(replica.port)
    expect(Math.max(...(await exchange(5000)))).toBeLessThan(1500)
    await revocation()
    expect(await replica.command('replicaof', 'no', 'one')).toBe('+OK')
    await connected()
    expect(Math.max(...(await exchange(5000)))).toBeLessThan(1000)
    await agree()
    await seen('after the fail-over')
    expect([...ada.closes, ...bob.closes]).toEqual([])
    expect(nodes.map(({ process }) => process.exitCode)).toEqual([null, null])
  },
  rounds * 60_000 + 60_000,
)
