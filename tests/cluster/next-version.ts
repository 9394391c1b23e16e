import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')

type Change = [file: string, from: string, to: string]

/** What every later program might do: more fields, more types of messages, more members, more topics, more in a beat. */
const grows: Change[] = [
  ['package.json', '"version": "', '"version": "999.'],
  [
    'src/domains/sync/room-link.ts',
    '    const prelude = Uint8Array.of(type, kindBytes[room.kind], fields.length >> 8, fields.length & 255)\n',
    `    fields = Buffer.concat([fields, Buffer.from('a field of later')])
    for (const unknown of [9, 77, 255])
      if (Math.random() < 0.2)
        this.cluster.publish(topicOf(room), Buffer.concat([Uint8Array.of(unknown, 0, 0, 5), crypto.getRandomValues(new Uint8Array(40))]))
    if (Math.random() < 0.1) this.cluster.publish(topicOf(room), Uint8Array.of(type))
    if (Math.random() < 0.1) this.cluster.publish(topicOf(room), Uint8Array.of(type, 7, 0, 0, 1, 2, 3))
    if (Math.random() < 0.1) this.cluster.publish('a topic of later', 'hello')
    const prelude = Uint8Array.of(type, kindBytes[room.kind], fields.length >> 8, fields.length & 255)\n`,
  ],
  [
    'src/kernel/cluster/redis-cluster.ts',
    "    const said = this.hasLost ? lost : ''\n",
    "    const said = this.hasLost ? lost : 'load=0.5'\n",
  ],
  [
    'src/domains/channels/hub.ts',
    'this.cluster.publish(topic, JSON.stringify({ epoch, offset: message.offset }))',
    `{
      this.cluster.publish(topic, JSON.stringify({ epoch, offset: message.offset, later: { region: 'eu' } }))
      this.cluster.publish(topic, JSON.stringify({ typing: ['somebody'] }))
    }`,
  ],
]

/** One whose messages nobody of before may read: it reads theirs, and answers with its own. */
const isAnother: Change[] = [
  ['src/kernel/cluster/signed-frames.ts', 'export const frameVersion = 1\n', 'export const frameVersion = 2\n'],
  [
    'src/kernel/cluster/signed-frames.ts',
    "if (frame[0] !== frameVersion) return 'version'",
    "if (frame[0] !== frameVersion && frame[0] !== 1) return 'version'",
  ],
]

/**
 * A later program: a copy of this one, changed. Where the text that is to be changed is not there any more, it says so.
 *
 * @param speaks `more`: what this one can pass over. `otherwise`: also another version of the messages between nodes
 */
export function makeNextVersion(speaks: 'more' | 'otherwise'): Disposable & { program: string } {
  const directory = mkdtempSync(join(tmpdir(), 'usher-next-version-'))
  const server = join(directory, 'apps/server')
  mkdirSync(server, { recursive: true })
  const from = join(root, 'apps/server')
  cpSync(join(from, 'src'), join(server, 'src'), { recursive: true, filter: (path) => !path.endsWith('.test.ts') })
  cpSync(join(from, 'package.json'), join(server, 'package.json'))
  symlinkSync(join(from, 'node_modules'), join(server, 'node_modules'))
  for (const name of ['node_modules', 'docs', 'tsconfig.json', 'package.json'])
    symlinkSync(join(root, name), join(directory, name))
  for (const [file, before, after] of speaks === 'more' ? grows : [...grows, ...isAnother]) {
    const path = join(server, file)
    const parts = readFileSync(path, 'utf8').split(before)
    if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${before}`)
    writeFileSync(path, parts.join(after))
  }
  return {
    program: join(server, 'src/main.ts'),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  }
}
