import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { envelopeKind } from '@usher/sync/crypto'
import { temporaryDirectory } from '../support/usher.ts'
import { chainOver, member, sealer } from './encrypted-support.ts'
import { generous, startSyncServer } from './support.ts'

const rounds = Number(process.env.CRASHES ?? (process.env.USHER_LONG_TESTS ? 60 : 3))
const freePort = () => {
  const probe = Bun.serve({ port: 0, fetch: () => new Response() })
  const { port } = probe
  probe.stop(true)
  return String(port)
}

/** A writer that keeps what it sealed until it is acknowledged, and sends the same bytes again on a new connection. */
function writer(url: string, docId: string) {
  const sender = sealer(docId)
  let outbox: Uint8Array[] = []
  const acknowledged: Uint8Array[] = []
  let stopped = false
  const run = async () => {
    while (!stopped) {
      const connection = member(url, docId)
      try {
        await Promise.race([connection.welcome(), connection.isClosed.then(() => Promise.reject(new Error('closed')))])
        const sent: Uint8Array[] = []
        for (const envelope of outbox) sent[connection.append(envelope)] = envelope
        while (!stopped && !connection.closing) {
          const envelope = await sender.seal(envelopeKind.update, new Uint8Array(Buffer.from('a line')))
          outbox.push(envelope)
          sent[connection.append(envelope)] = envelope
          for (const { cseq } of connection.all('ack').splice(0)) {
            const done = sent.slice(1, cseq + 1).filter((e) => outbox.includes(e))
            acknowledged.push(...done)
            outbox = outbox.filter((e) => !done.includes(e))
          }
          await Bun.sleep(3)
        }
      } catch {
        await Bun.sleep(30)
      } finally {
        connection[Symbol.dispose]()
      }
    }
  }
  const done = run()
  return {
    acknowledged,
    stop: async () => {
      stopped = true
      await done
    },
  }
}

test(`E-8 ${rounds} times kill -9 under load, of the server or its PostgreSQL, loses no acknowledged envelope and stores none twice`, async () => {
  using data = temporaryDirectory()
  const args = ['--port', freePort()]
  const start = () => startSyncServer({ data: data.path, args, env: generous })
  const docs = ['one', 'two']
  let server = await start()
  await using _ = { [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
  const writers = docs.flatMap((docId) => [1, 2, 3].map(() => ({ docId, ...writer(server.wsUrl, docId) })))
  for (let round = 0; round < rounds; round++) {
    await Bun.sleep(200 + Math.random() * 400)
    if (round % 2 === 1) {
      const postmaster = Number(readFileSync(join(data.path, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
      process.kill(postmaster, 'SIGKILL')
    }
    server.process.kill('SIGKILL')
    await server.process.exited
    server = await start()
  }
  await Bun.sleep(600)
  await Promise.all(writers.map((one) => one.stop()))
  for (const docId of docs) {
    using reader = member(server.wsUrl, docId)
    const { head, chain } = await reader.welcome()
    await reader.reached(head)
    const stored = reader.envelopes().map((envelope) => Buffer.from(envelope).toString('hex'))
    const acknowledged = writers
      .filter((one) => one.docId === docId)
      .flatMap((one) => one.acknowledged.map((envelope) => Buffer.from(envelope).toString('hex')))
    expect(acknowledged.length).toBeGreaterThan(50)
    const known = new Set(stored)
    expect(acknowledged.filter((envelope) => !known.has(envelope))).toEqual([])
    expect(known.size).toBe(stored.length)
    expect(Buffer.compare(chain, chainOver(docId, reader.envelopes().slice(0, head)))).toBe(0)
  }
}, 120_000)
