import { expect, test } from 'bun:test'
import { serverSdk } from '../support/clerk.ts'
import { nginxPath } from '../support/nginx.ts'
import { freePort, postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { established } from '../support/tcp.ts'
import { startUsher } from '../support/usher.ts'
import { connect, generous, startBalancer, until, Y } from './support.ts'

test.skipIf(!postgresBin || !redisServer || !nginxPath)(
  'R-N3: behind nginx people who are on two nodes edit one document, see each other, and are sent away within a second',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const ports = [await freePort(), await freePort()] as [number, number]
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const start = (port: number) => startUsher({ env, args: ['--port', String(port)] })
    await using balancer = await startBalancer(ports)
    const nodes = new Map([[ports[0], await start(ports[0])]])
    await using _ = {
      [Symbol.asyncDispose]: async () => void (await Promise.all([...nodes.values()].map((n) => n.stop()))),
    }
    const { ready } = nodes.get(ports[0]) as Awaited<ReturnType<typeof start>>
    const sdk = serverSdk(ready)
    const user = await sdk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
    const session = await sdk.sessions.createSession({ userId: user.id })
    const authorization = `Bearer ${ready.secret_key}`
    const open = async (docId: string) => {
      const answer = await fetch(`${ready.url}/v1/sync_tokens`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ doc_id: docId, user_id: user.id, session_id: session.id, access: 'write' }),
      })
      const { token } = (await answer.json()) as { token: string }
      const connection = connect(balancer.wsUrl, docId, { token })
      await connection.synced()
      return connection
    }
    // nginx sends those who open one document to one node, which depends on the document. While the first node is alone
    // everybody is on it; the second one gets whoever comes later to documents that are its own.
    const docIds = Array.from({ length: 12 }, (_, i) => `${user.id}/note-${i}`)
    const before = await Promise.all(docIds.map(open))
    expect(established(ports[0])).toBeGreaterThanOrEqual(docIds.length)
    nodes.set(ports[1], await start(ports[1]))
    const after: Awaited<ReturnType<typeof open>>[] = []
    const apart: [(typeof before)[0], (typeof before)[0]][] = []
    for (const [i, docId] of docIds.entries()) {
      const there = established(ports[1])
      const late = await open(docId)
      after.push(late)
      if (established(ports[1]) > there) apart.push([before[i] as typeof late, late])
    }
    console.log(`${apart.length} of ${docIds.length} documents are open on both nodes`)
    expect(apart.length).toBeGreaterThan(0)
    const latencies: number[] = []
    for (const [ada, bob] of apart) {
      for (const [from, to, text] of [
        [ada, bob, 'from one'],
        [bob, ada, ' and the other'],
      ] as const) {
        from.text.insert(from.text.length, text)
        latencies.push(await until(() => to.text.toString().endsWith(text), 'arrived'))
      }
      expect(Y.encodeStateAsUpdate(ada.doc)).toEqual(Y.encodeStateAsUpdate(bob.doc))
      const names = (of: typeof ada) =>
        [...of.client.awareness.getStates().values()]
          .map(({ name }) => name)
          .sort()
          .join()
      ada.client.awareness.setLocalStateField('name', 'Ada')
      bob.client.awareness.setLocalStateField('name', 'Bob')
      await until(() => names(ada) === 'Ada,Bob' && names(bob) === 'Ada,Bob', 'seen')
    }
    console.log(`median ${latencies.sort((a, b) => a - b)[latencies.length >> 1]?.toFixed(1)} ms`)
    const everybody = [...before, ...after]
    expect(everybody.flatMap(({ closes }) => closes)).toEqual([])
    await sdk.sessions.revokeSession(session.id)
    const ms = await until(() => everybody.every(({ closes }) => closes.length > 0), 'sent away')
    console.log(`a revocation closed ${everybody.length} sockets on both nodes within ${ms.toFixed(0)} ms`)
    expect(ms).toBeLessThan(1000)
    expect(new Set(everybody.map(({ closes }) => closes[0]))).toEqual(new Set([4401]))
    for (const connection of everybody) connection[Symbol.dispose]()
  },
  60_000,
)
