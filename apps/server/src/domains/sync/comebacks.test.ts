import { expect, test } from 'bun:test'
import type { SQL } from 'bun'
import { pino } from 'pino'
import { Comebacks } from './comebacks.ts'
import { Outboxes } from './outbox.ts'
import { PlaintextRoom } from './plaintext-room.ts'
import type { Room } from './room.ts'

const written = { head: 1, snapshotSeq: 0, snapshot: undefined, tail: [], damaged: false, deleted: false }

/** A node with one room, and a database that answers what it is told to: its line, and errors. */
function node(options: { refusedForMs?: number } = {}) {
  const room = new PlaintextRoom(
    'standalone',
    'a',
    { id: 1, incarnation: crypto.randomUUID(), ...written },
    new Outboxes(() => {}),
    0,
  ) as unknown as Room
  const database = { line: '1/00000001' as string | undefined, failures: [] as Error[] }
  const sql = async (strings: TemplateStringsArray) => {
    if (/pg_control_system/.test(strings.join(''))) {
      if (database.line === undefined) throw Object.assign(new Error('recovery is in progress'), { errno: '55000' })
      return [{ line: database.line }]
    }
    const failure = database.failures.shift()
    if (failure) throw failure
    const state = { id: 1, kind: 'yjs', incarnation: room.incarnation, head: 1, snapshotSeq: 0, deleted: false }
    return [{ ...state, keyEpoch: 0, keyParams: null, chain: null, lastSeq: null }]
  }
  const closed: string[] = []
  const rooms = {
    open: [room],
    opening: [],
    drop: (one: Room) => {
      one.gone = true
    },
    close: (_: Room, reason: string) => {
      closed.push(reason)
    },
  }
  const comebacks = new Comebacks({ sql: sql as unknown as SQL, log: pino({ level: 'silent' }), rooms, ...options })
  return { room, database, comebacks, closed }
}

const refusal = (errno: string) => Object.assign(new Error('no'), { errno })
const ended = () => Object.assign(new Error('Connection closed'), { code: 'ERR_POSTGRES_CONNECTION_CLOSED' })
const settled = async (comebacks: Comebacks) => {
  await Bun.sleep(5)
  await comebacks.settle()
}

test('R-19 a database that is replaced right after the start is noticed', async () => {
  const { room, database, comebacks, closed } = node()
  await Bun.sleep(5)
  database.line = '1/00000002'
  comebacks.look()
  await settled(comebacks)
  expect(room.gone).toBe(true)
  expect(closed).toEqual(['storage_unavailable'])
})

test('R-19 a line that ends, or a standby that takes no writes yet, gives up nothing of what is held', async () => {
  const { room, database, comebacks, closed } = node({ refusedForMs: 0 })
  await Bun.sleep(5)
  database.failures = [ended(), refusal('25006'), refusal('57P03'), refusal('53300'), refusal('08006'), ended()]
  comebacks.rewound(room, 'less')
  await Bun.sleep(100)
  expect(closed).toEqual([])
  await settled(comebacks)
  expect(database.failures).toEqual([])
  expect(closed).toEqual(['storage_unavailable'])
})

test('R-19 a database that refuses for good is believed in the end, and one that stops is not waited for', async () => {
  const refusing = node({ refusedForMs: 300 })
  refusing.database.failures = Array.from({ length: 20 }, () => refusal('42501'))
  refusing.comebacks.rewound(refusing.room, 'less')
  await Bun.sleep(250)
  expect(refusing.closed).toEqual([])
  await settled(refusing.comebacks)
  expect(refusing.closed).toEqual(['storage_unavailable'])
  expect(refusing.database.failures.length).toBeLessThan(20)

  const stopping = node()
  stopping.database.failures = Array.from({ length: 1000 }, ended)
  stopping.comebacks.rewound(stopping.room, 'less')
  await Bun.sleep(20)
  stopping.comebacks.stop()
  await settled(stopping.comebacks)
  expect(stopping.closed).toEqual(['storage_unavailable'])
})

test('R-19 a document that is not there is deleted only if the database is the same one', async () => {
  const same = node()
  await Bun.sleep(5)
  same.comebacks.rewound(same.room, 'nothing')
  await settled(same.comebacks)
  expect(same.closed).toEqual(['room_deleted'])

  // Somebody has put another log in its place: what was in the one before is not wanted there.
  const restored = node()
  await Bun.sleep(5)
  restored.database.failures = [refusal('42501')]
  restored.comebacks.rewound(restored.room, 'another log')
  await settled(restored.comebacks)
  expect(restored.closed).toEqual(['storage_unavailable'])
  expect(restored.database.failures.length).toBe(1)

  const other = node()
  await Bun.sleep(5)
  other.database.line = '2/00000001'
  other.comebacks.rewound(other.room, 'nothing')
  await settled(other.comebacks)
  expect(new Set(other.closed)).toEqual(new Set(['storage_unavailable']))
})

test('R-19 a database that does not say now which one it is, is not taken for the same, and nothing is forgotten', async () => {
  const { room, database, comebacks, closed } = node()
  await Bun.sleep(5)
  expect(comebacks.isAnswered).toBe(true)
  database.line = undefined
  comebacks.rewound(room, 'nothing')
  comebacks.look()
  await Bun.sleep(100)
  expect(closed).toEqual([])
  expect(comebacks.isAnswered).toBe(false)
  database.line = '1/00000002'
  comebacks.look()
  await settled(comebacks)
  expect(comebacks.isAnswered).toBe(true)
  expect(new Set(closed)).toEqual(new Set(['storage_unavailable']))
})
