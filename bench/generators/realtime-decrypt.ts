/** How many frames of a colleague a client opens a second: what `@usher/sync` does with each, and nothing else. */
import { createReceiver, createSender, fixedDocumentKey } from '../../packages/sync/src/crypto/index.ts'

export type DecryptInput = { frames: number; contentBytes: number }

const { frames, contentBytes }: DecryptInput = await Bun.stdin.json()
const key = crypto.getRandomValues(new Uint8Array(32))
const sender = await createSender({ key, epoch: 1, room: 'bench' })
const receiver = createReceiver({ keys: fixedDocumentKey(key, 1), room: 'bench' })
const sealed: Uint8Array[] = []
for (let i = 0; i < frames + 1000; i++) sealed.push(await sender.seal(1, new Uint8Array(contentBytes).fill(i)))
for (const envelope of sealed.slice(0, 1000)) await receiver.open(envelope)
const startedAt = performance.now()
const rest = sealed.slice(1000)
// A client opens what came in one message together.
for (let i = 0; i < rest.length; i += 50) await Promise.all(rest.slice(i, i + 50).map((one) => receiver.open(one)))
console.log(JSON.stringify({ perSecond: frames / ((performance.now() - startedAt) / 1000) }))
process.exit(0)
