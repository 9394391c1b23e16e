import { expect, test } from 'bun:test'
import { randomBase62 } from '../../kernel/ids.ts'
import { testServer } from '../../testing/server.ts'
import { Connection, type Socket } from './connection.ts'
import { SyncEngine } from './engine.ts'
import { updateFrame } from './protocol.ts'

const update = (client: number, clock: number) => Uint8Array.of(1, 1, client, clock, 4, 1, 1, 116, 1, 97, 0)

/** A socket that writes down nothing but why it was closed. */
function deafSocket() {
  const closes: number[] = []
  const socket: Socket = {
    readyState: WebSocket.OPEN,
    send: (data) => data.length,
    close: (code) => void closes.push(code),
    terminate: () => {},
    subscribe: () => {},
    unsubscribe: () => {},
    publish: () => 0,
    cork: (callback) => callback(),
    getBufferedAmount: () => 0,
    pause: () => {},
    resume: () => {},
  }
  return { closes, socket }
}

test('R-18 one document has a bounded number of client ids, and those that it has go on writing', async () => {
  const { database, log } = (await testServer()).runtime
  const limits = { clientsPerDocument: 3 }
  const engine = new SyncEngine({ sql: database.systemSql, connect: database.connectSystem, log, lanes: 1, limits })
  const principal = {
    instanceId: 'standalone',
    kind: 'anonymous' as const,
    userId: undefined,
    sessionId: undefined,
    organizationId: undefined,
    permissionVersion: undefined,
  }
  const docId = `crowd-${randomBase62(8)}`
  const { closes, socket } = deafSocket()
  const connection = new Connection(
    principal,
    docId,
    { access: 'write', granted: 'write' },
    engine.limits,
    performance.now(),
  )
  engine.attach(connection, socket)
  for (let i = 0; i < 200 && connection.state !== 'live'; i++) await Bun.sleep(5)
  for (const client of [1, 2, 3]) engine.receive(connection, updateFrame(update(client, 0)))
  engine.receive(connection, updateFrame(update(2, 1)))
  expect(closes).toEqual([])
  engine.receive(connection, updateFrame(update(4, 0)))
  expect(closes).toEqual([4413])
  await engine.drain(0)
  await engine.stop()
})
