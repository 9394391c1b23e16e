import { join } from 'node:path'
import type { ReceiverStats } from './generators/webhook-receivers.ts'
import { lineReader, residentBytes, startGenerator, temporaryDirectory } from './support/processes.ts'
import { atMost, type Benchmark, compare, type Row } from './support/rows.ts'
import { connectOwner, startUsher, type Usher } from './support/usher.ts'

/** The events that are delivered beside endpoints that are dead and slow; those for comparison are a fixed number. */
const events = process.argv.includes('--full') ? 100_000 : 4_000
const comparedEvents = 4_000
const people = 2_000
const slowMs = 200
const live = 40
const bad = { slow: 5, refusing: 2, silent: 2, unreachable: 1 }
const mib = 2 ** 20

type Endpoint = { id: string; kind: string; port: number }
type Receivers = { ask: (line: 'stats' | 'mend') => Promise<ReceiverStats[]>; all: { kind: string; port: number }[] }

async function api<Answer>({ port, ready }: Usher, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${port}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${ready.secret_key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}

/** A server with people, receivers on the other core, and an endpoint for each. */
async function withEndpoints<T>(
  kinds: { slow: number; refusing: number; silent: number; unreachable: number },
  work: (bench: {
    usher: Usher
    receivers: Receivers
    endpoints: Endpoint[]
    tell: (count: number) => Promise<void>
  }) => Promise<T>,
): Promise<T> {
  using data = temporaryDirectory()
  await using usher = await startUsher(data.path, { USHER_EGRESS_ALLOW: '127.0.0.1' })
  await using generator = startGenerator(join(import.meta.dir, 'generators/webhook-receivers.ts'))
  const { child } = generator
  const next = lineReader(generator)
  const write = async (line: string) => {
    child.stdin.write(`${line}\n`)
    await child.stdin.flush()
    return JSON.parse(await next())
  }
  const { slow, refusing, silent } = kinds
  const all = await write(JSON.stringify({ live, slow, refusing, silent, slowMs, events }))
  const owner = connectOwner(data.path)
  try {
    const instanceId = await seedPeople(owner)
    const dead = Array.from({ length: kinds.unreachable }, () => ({ kind: 'unreachable', port: 9 }))
    const endpoints: Endpoint[] = []
    for (const { kind, port } of [...all, ...dead]) {
      const input = { url: `http://127.0.0.1:${port}/`, event_types: ['user.*'] }
      const { id } = await api<{ id: string }>(usher, 'POST', '/webhooks/endpoints', input)
      endpoints.push({ id, kind, port })
    }
    // As many transactions would write them: each person in turn changes again and again.
    const tell = async (count: number) => {
      for (let told = 0; told < count; told += 1000)
        await owner`insert into events (instance_id, type, subject, actor, data, pending)
          select ${instanceId}, 'user.updated', 'user_' || lpad(((n * 7919) % ${people})::text, 27, '0'),
            '{"type":"backend"}', '{}', true
          from generate_series(${told}::int, ${Math.min(count, told + 1000) - 1}::int) n order by n`
    }
    return await work({ usher, receivers: { ask: write, all }, endpoints, tell })
  } finally {
    await owner.close()
  }
}

async function seedPeople(owner: ReturnType<typeof connectOwner>): Promise<string> {
  const [{ id }] = await owner`select id from instances where host is null`
  await owner`insert into users (id, instance_id, first_name, last_name, primary_email_address_id, created_at, updated_at)
    select 'user_' || lpad(n::text, 27, '0'), ${id}, 'Person', 'Number ' || n, 'idn_' || lpad(n::text, 27, '0'), now(), now()
    from generate_series(0, ${people - 1}) n`
  await owner`insert into email_addresses (id, instance_id, user_id, email_address, verified_at, verification_strategy,
      created_at, updated_at)
    select 'idn_' || lpad(n::text, 27, '0'), ${id}, 'user_' || lpad(n::text, 27, '0'), 'person' || n || '@example.com',
      now(), 'admin', now(), now()
    from generate_series(0, ${people - 1}) n`
  return id
}

/** Waits until all receivers of a kind have everything. @returns seconds */
async function waitFor({ ask }: Receivers, kinds: string[], count: number, since: number): Promise<number> {
  let before = -1
  let changedAt = performance.now()
  for (;;) {
    const stats = (await ask('stats')).filter((s) => kinds.includes(s.kind))
    if (stats.every((s) => s.accepted >= count)) return (performance.now() - since) / 1000
    const sum = stats.reduce((total, s) => total + s.accepted, 0)
    if (sum !== before) changedAt = performance.now()
    else if (performance.now() - changedAt > 60_000)
      throw new Error(`deliveries ended too soon: ${JSON.stringify(stats.filter((s) => s.accepted < count))}`)
    before = sum
    await Bun.sleep(50)
  }
}

const outOfOrder = (stats: ReceiverStats[]) => stats.reduce((sum, s) => sum + s.outOfOrder, 0)

export const webhooks: Benchmark = {
  name: 'webhooks',
  method:
    `${live} live endpoints, ${bad.slow} that take ${slowMs} ms for each delivery, and 5 dead ones (refusing, silent, ` +
    `unreachable) get all events about ${people} people, with the whole person in each payload. The rate is that of ` +
    'deliveries accepted by the live ones, from the first event to the last delivery; the comparison is the same without ' +
    'the bad ones. Then the slow ones are waited for, the dead ones are mended, and every endpoint must have every event, ' +
    'about each person in order. Deliveries are signed, and each stands in the log.',
  run: async () => {
    const alone = await withEndpoints(
      { slow: 0, refusing: 0, silent: 0, unreachable: 0 },
      async ({ receivers, tell }) => {
        const at = performance.now()
        await tell(comparedEvents)
        return (comparedEvents * live) / (await waitFor(receivers, ['live'], comparedEvents, at))
      },
    )
    return withEndpoints(bad, async ({ usher, receivers, endpoints, tell }) => {
      const before = residentBytes(usher.pid)
      const at = performance.now()
      await tell(events)
      await waitFor(receivers, ['live'], events / 4, at)
      const early = residentBytes(usher.pid)
      const seconds = await waitFor(receivers, ['live'], events, at)
      const late = residentBytes(usher.pid)
      const beside = (events * live) / seconds
      const slowSeconds = await waitFor(receivers, ['slow'], events, at)
      await receivers.ask('mend')
      // Whoever mends an endpoint says so, and need not wait for the end of its pause. The unreachable one stays so.
      for (const { id, kind, port } of endpoints)
        if (kind === 'refusing' || kind === 'silent')
          await api(usher, 'PATCH', `/webhooks/endpoints/${id}`, { url: `http://127.0.0.1:${port}/` })
      await waitFor(receivers, ['refusing', 'silent'], events, at)
      const stats = await receivers.ask('stats')
      const rows: Row[] = [
        compare(
          `webhooks to ${live} endpoints with ${bad.slow} slow and 5 dead ones beside them, beside none`,
          beside,
          alone,
          0.7,
        ),
        atMost('webhook events out of order, of all endpoints', outOfOrder(stats), 0.5, 'events'),
        atMost('memory that delivering webhooks took', (late - before) / mib, 300, 'MB'),
      ]
      const all = stats.reduce((sum, s) => sum + s.accepted, 0)
      return {
        rows,
        notes: [
          `${events} events to ${endpoints.length} endpoints: the live ones had all of them after ${seconds.toFixed(1)} s, the slow ` +
            `ones after ${slowSeconds.toFixed(1)} s; ${all} deliveries were accepted and none was missing, those to the endpoints ` +
            `that were mended included. The server’s memory rose by ${Math.round((early - before) / mib)} MB during the first ` +
            `quarter and by ${Math.round((late - early) / mib)} MB during the rest. \`npm run bench -- webhooks --full\` takes 100,000 events.`,
        ],
      }
    })
  },
}
