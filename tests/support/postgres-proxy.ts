import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'

/** Where a PostgreSQL listens: a port on loopback, or the path of its unix socket. */
type Address = number | string

/**
 * A moment in a conversation with PostgreSQL. `before`: the statement has not reached it. `after`: it is done and
 * committed, and nobody has heard of that. The end of a transaction is `COMMIT` and, behind it, all that it did.
 */
export type Moment = { statement: RegExp; when: 'before' | 'after' }

/** What becomes of the bytes that wait at the moment, once the fault has been done. */
type Outcome = 'forward' | 'cut'

export type PostgresProxy = AsyncDisposable & {
  port: number
  /** Does something once, the first time that the moment comes, while both sides wait. Resolves when it is done. */
  at: (moment: Moment, fault: () => Outcome | Promise<Outcome>) => Promise<void>
  /** Sends whoever connects from now on to another PostgreSQL. */
  retarget: (target: Address) => void
  /** Ends every connection at once, without a goodbye. */
  cut: () => void
}

const sslRequest = 80877103

/**
 * A proxy in front of a PostgreSQL that reads which statement is under way, for faults at one exact moment of it. Nothing
 * in the server knows of it.
 *
 * @param options.path listens on a unix socket instead of a port
 */
export async function startPostgresProxy(target: Address, options: { path?: string } = {}): Promise<PostgresProxy> {
  let current = target
  const aimed: {
    moment: Moment
    fault: () => Outcome | Promise<Outcome>
    done: () => void
    failed: (e: unknown) => void
  }[] = []
  const pairs = new Set<[Socket, Socket]>()

  const take = (statement: string, when: Moment['when']) => {
    const at = aimed.findIndex(({ moment }) => moment.when === when && moment.statement.test(statement))
    return at < 0 ? undefined : aimed.splice(at, 1)[0]
  }
  const isAimed = (statement: string, when: Moment['when']) =>
    aimed.some(({ moment }) => moment.when === when && moment.statement.test(statement))

  const server = createServer({ noDelay: true }, (near) => {
    const far =
      typeof current === 'string' ? connect(current) : connect({ port: current, host: '127.0.0.1', noDelay: true })
    const pair: [Socket, Socket] = [near, far]
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      near.destroy()
      far.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)

    const prepared = new Map<string, string>()
    /** Statements whose end the server has not reported, by the messages that ask for a report. */
    const awaited: string[] = []
    let statement = ''
    let transaction = ''
    const said = (text: string) => {
      if (/^begin/i.test(text)) transaction = ''
      else transaction += `\n${text}`
      statement = /^commit/i.test(text) ? `COMMIT${transaction}` : text
    }
    const work = { near: Promise.resolve(), far: Promise.resolve() }

    const doAt = async (text: string, when: Moment['when']): Promise<Outcome> => {
      const one = take(text, when)
      if (!one) return 'forward'
      try {
        const outcome = await one.fault()
        one.done()
        return outcome
      } catch (error) {
        one.failed(error)
        return 'cut'
      }
    }

    let started = false
    const fromClient = messages((buffer) => {
      if (started) return 1
      return buffer.length >= 8 ? 0 : undefined
    })
    near.on('data', (chunk) => {
      const found = fromClient(Buffer.from(chunk), (message) => {
        if (started) return
        started = message.readUInt32BE(4) !== sslRequest
      })
      work.near = work.near.then(async () => {
        for (const message of found) {
          if (message.length === 8 && message.readUInt32BE(4) === sslRequest && message[0] === 0) {
            near.write('N')
            continue
          }
          const type = String.fromCharCode(message[0] as number)
          const body = message.subarray(5)
          if (type === 'P') {
            const [name = '', text = ''] = strings(body, 2)
            prepared.set(name, text)
          }
          if (type === 'B') said(prepared.get(strings(body, 2)[1] ?? '') ?? '')
          if (type === 'Q') said(strings(body, 1)[0] ?? '')
          if (type === 'B' || type === 'Q') {
            if ((await doAt(statement, 'before')) === 'cut') return end()
          }
          if (type === 'Q' || type === 'S') {
            awaited.push(statement)
            statement = ''
          }
          far.write(message)
        }
      })
    })

    const fromServer = messages(() => 1)
    let held: Buffer[] = []
    far.on('data', (chunk) => {
      const found = fromServer(Buffer.from(chunk))
      work.far = work.far.then(async () => {
        for (const message of found) {
          const isReady = message[0] === 0x5a
          const text = awaited[0] ?? ''
          if (!isReady && isAimed(text, 'after')) {
            held.push(message)
            continue
          }
          if (isReady && started) {
            awaited.shift()
            if (text !== '' && (await doAt(text, 'after')) === 'cut') return end()
          }
          for (const one of held) near.write(one)
          held = []
          near.write(message)
        }
      })
    })
  })
  if (options.path) rmSync(options.path, { force: true })
  await new Promise<void>((resolve) =>
    options.path ? server.listen(options.path, resolve) : server.listen(0, '127.0.0.1', resolve),
  )
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    at: (moment, fault) => new Promise((done, failed) => aimed.push({ moment, fault, done, failed })),
    retarget: (target) => {
      current = target
    },
    cut: () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy()
    },
    [Symbol.asyncDispose]: async () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/**
 * Cuts a stream into messages of the protocol.
 *
 * @param lengthAt where the length stands in the next message; undefined: it cannot be said yet
 */
function messages(lengthAt: (buffer: Buffer) => number | undefined) {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk: Buffer, seen: (message: Buffer) => void = () => {}): Buffer[] => {
    rest = Buffer.concat([rest, chunk])
    const found: Buffer[] = []
    for (;;) {
      const at = lengthAt(rest)
      if (at === undefined || rest.length < at + 4) return found
      const length = at + rest.readUInt32BE(at)
      if (rest.length < length) return found
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      seen(message)
      found.push(message)
    }
  }
}

/** The first texts of a message, each of which ends with a zero byte. */
function strings(bytes: Buffer, n: number): string[] {
  const found: string[] = []
  for (let start = 0; found.length < n; ) {
    const end = bytes.indexOf(0, start)
    if (end < 0) break
    found.push(bytes.toString('utf8', start, end))
    start = end + 1
  }
  return found
}
