import { expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { WebsocketProvider as WebsocketProvider2 } from 'y-websocket-2'
import { temporaryDirectory } from '../support/usher.ts'
import { connect, generous, startSyncServer, stateOf, until } from './support.ts'

test('Y-5 two stock clients edit together, and a restart keeps what they wrote', async () => {
  using data = temporaryDirectory()
  let server = await startSyncServer({ data: data.path })
  {
    using ada = connect(server.wsUrl, 'room-1')
    using bob = connect(server.wsUrl, 'room-1', { provider: WebsocketProvider2 as never })
    await Promise.all([ada.synced(), bob.synced()])
    ada.doc.getText('t').insert(0, 'Hello')
    await until(() => bob.doc.getText('t').toString() === 'Hello', 'received')
    bob.doc.getText('t').insert(5, ' world')
    await until(() => ada.doc.getText('t').toString() === 'Hello world', 'received')
    using other = connect(server.wsUrl, 'room-2')
    await other.synced()
    expect(other.doc.getText('t').toString()).toBe('')
  }
  expect(await server.stop()).toBe(0)
  server = await startSyncServer({ data: data.path })
  await using _ = server
  using ada = connect(server.wsUrl, 'room-1')
  await ada.synced()
  expect(ada.doc.getText('t').toString()).toBe('Hello world')
}, 60_000)

test('two clients converge after 10,000 random edits', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
  console.log(`seed ${seed}`)
  let x = seed | 1
  const random = (below: number) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
  await using server = await startSyncServer({ env: generous })
  using ada = connect(server.wsUrl, 'room')
  using bob = connect(server.wsUrl, 'room', { provider: WebsocketProvider2 as never })
  await Promise.all([ada.synced(), bob.synced()])
  for (let i = 0; i < 10_000; i++) {
    const { doc } = random(2) ? ada : bob
    const text = doc.getText('t')
    const array = doc.getArray<number>('a')
    switch (random(5)) {
      case 0:
        text.insert(random(text.length + 1), ['x', '漢', '😀'][random(3)] as string)
        break
      case 1:
        if (text.length > 2) text.delete(random(text.length - 2), 1 + random(2))
        break
      case 2:
        doc.getMap('m').set(`k${random(20)}`, i)
        break
      case 3:
        array.insert(random(array.length + 1), [i])
        break
      case 4:
        if (array.length > 0) array.delete(random(array.length), 1)
        break
    }
    if (i % 100 === 0) await Bun.sleep(0)
    if (i % 3000 === 2999) {
      // Edits made without a connection come along when it is back.
      bob.client.disconnect()
      setTimeout(() => bob.client.connect(), 50)
    }
  }
  await until(() => stateOf(ada.doc) === stateOf(bob.doc), 'converged', 30_000)
  using late = connect(server.wsUrl, 'room')
  await late.synced()
  expect(stateOf(late.doc)).toBe(stateOf(ada.doc))
}, 90_000)

test.if(process.platform === 'linux')(
  'an idle stand-alone server and its PostgreSQL take less than 150 MB',
  async () => {
    await using server = await startSyncServer()
    {
      using ada = connect(server.wsUrl, 'room')
      await ada.synced()
      ada.doc.getText('t').insert(0, 'x')
      await Bun.sleep(1000)
    }
    const postmaster = Number(readFileSync(`${server.ready.data}/postgres/postmaster.pid`, 'utf8').split('\n')[0])
    const read = (pid: number, file: string) => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, 'utf8')
      } catch {
        return ''
      }
    }
    const parentOf = (pid: number) => Number(read(pid, 'stat').split(') ')[1]?.split(' ')[1])
    const isOurs = (pid: number) => pid === server.process.pid || pid === postmaster || parentOf(pid) === postmaster
    const processes = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && isOurs(pid))
    // Everything resident of the server, as if it shared its program with nobody; of PostgreSQL each page once.
    const kilobytes = processes.map((pid) =>
      Number(
        pid === server.process.pid
          ? read(pid, 'status').match(/VmRSS:\s+(\d+)/)?.[1]
          : read(pid, 'smaps_rollup').match(/Pss:\s+(\d+)/)?.[1],
      ),
    )
    const megabytes = kilobytes.reduce((sum, one) => sum + one, 0) / 1024
    console.log(`${megabytes.toFixed(0)} MB in ${processes.length} processes`)
    expect(processes.length).toBeGreaterThan(3)
    expect(megabytes).toBeLessThan(150)
  },
  30_000,
)
