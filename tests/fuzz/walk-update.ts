/**
 * Differential fuzzing of the update validator against yjs (rule R-6):
 *
 * - whatever real clients produce is accepted, and its clocks are understood as yjs understands them;
 * - whatever is accepted, yjs applies, encodes, merges and diffs without throwing, in bounded time and memory.
 */
import * as Y from 'yjs'
import { ClockRanges } from '../../apps/server/src/domains/sync/clock-ranges.ts'
import { MalformedUpdate, walkStateVector, walkUpdate } from '../../apps/server/src/domains/sync/walk-update.ts'
import { invent, mutate } from './hostile-updates.ts'
import { pick, type Random, randomFrom } from './random.ts'
import { derivedUpdates, type RealUpdates, realUpdates, someVector } from './real-updates.ts'

/** An update of at most a few kilobytes must not keep yjs busy for longer. A busy machine gets a second chance. */
const slowMs = 250
const largeBytes = 256e6
const rejects = 2000

export type Counts = { documents: number; real: number; hostile: number; accepted: number; conflicting: number }

/** What the fuzzer found; the message holds everything that is needed to see it again. */
export class Finding extends Error {
  override readonly name = 'Finding'
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function walked(update: Uint8Array, what: string) {
  try {
    return walkUpdate(update)
  } catch (error) {
    throw new Finding(`refused what ${what} produced (${(error as Error).message}): ${hex(update)}`, { cause: error })
  }
}

function rangesOf(updates: readonly Uint8Array[], what = 'a client'): ClockRanges {
  const ranges = new ClockRanges()
  for (const update of updates) ranges.addAll(walked(update, what).ranges)
  return ranges
}

/** Accepted, and the same clocks as yjs sees. */
function checkReal(random: Random, made: RealUpdates): number {
  const derived = derivedUpdates(random, made)
  for (const update of [...made.updates, ...derived]) walked(update, 'a client')
  const some = made.updates.filter(() => random(4) > 0)
  const held = rangesOf(some)
  if (some.length > 0) {
    const merged = Y.mergeUpdates(some)
    if (!rangesOf([merged], 'a merge').equals(held)) throw new Finding(`other clocks than the merge: ${some.map(hex)}`)
    const theirs = Y.decodeStateVector(Y.encodeStateVectorFromUpdate(merged))
    const ours = walkStateVector(held.encodeVector())
    for (const [client, clock] of ours)
      if ((theirs.get(client) ?? 0) !== clock)
        throw new Finding(`vector of ${client}: ${theirs.get(client)}, not ${clock}: ${hex(merged)}`)
    // The compaction of a room is taken only when it holds the same clocks: it must, whatever is missing in between.
    if (!rangesOf([compacted(some)], 'a compaction').equals(held))
      throw new Finding(`other clocks after compaction: ${some.map(hex)}`)
  }
  return made.updates.length + derived.length
}

function compacted(updates: readonly Uint8Array[]): Uint8Array {
  const doc = new Y.Doc({ gc: true })
  doc.transact(() => {
    for (const update of updates) Y.applyUpdate(doc, update)
  })
  return Y.encodeStateAsUpdate(doc)
}

/** All that readers do with an update, on its own: what contradicts a document no reader of bytes can see. */
function readAlone(update: Uint8Array, good: Uint8Array, vector: Uint8Array) {
  const doc = new Y.Doc()
  Y.applyUpdate(doc, update)
  const state = Y.encodeStateAsUpdate(doc)
  Y.applyUpdate(new Y.Doc(), state)
  Y.mergeUpdates([good, update])
  Y.mergeUpdates([update, state])
  Y.diffUpdate(update, vector)
  Y.diffUpdate(state, vector)
  Y.encodeStateVectorFromUpdate(update)
  Y.parseUpdateMeta(update)
  for (const key of doc.share.keys()) doc.get(key).toJSON()
  return { state, waits: doc.store.pendingStructs !== null }
}

function checkAccepted(update: Uint8Array, good: Uint8Array, vector: Uint8Array) {
  const { ranges } = walkUpdate(update)
  const memory = process.memoryUsage.rss()
  let took = Number.POSITIVE_INFINITY
  let used: ReturnType<typeof readAlone> | undefined
  for (let attempt = 0; attempt < 3 && took > slowMs; attempt++) {
    const startedAt = performance.now()
    try {
      used = readAlone(update, good, vector)
    } catch (error) {
      throw new Finding(`accepted, and yjs throws ${(error as Error).message}: ${hex(update)}`, { cause: error })
    }
    took = performance.now() - startedAt
  }
  if (took > slowMs) throw new Finding(`accepted, and yjs takes ${took.toFixed(0)} ms: ${hex(update)}`)
  if (process.memoryUsage.rss() - memory > largeBytes)
    throw new Finding(`accepted, and it takes much memory: ${hex(update)}`)
  if (!used) return
  // A room whose compaction holds other clocks than its updates could never be compacted. Only what can be applied
  // counts: of clients that wait for each other in a circle, which no honest ones do, yjs itself drops a part.
  const held = new ClockRanges()
  held.addAll(ranges)
  const kept = new ClockRanges()
  try {
    kept.addAll(walkUpdate(used.state).ranges)
  } catch (error) {
    throw new Finding(`accepted, and refused once yjs has encoded it (${(error as Error).message}): ${hex(update)}`)
  }
  if (!used.waits && !kept.equals(held)) throw new Finding(`accepted, and yjs keeps other clocks: ${hex(update)}`)
}

/** Every vector that is accepted can be diffed against. */
function checkVector(vector: Uint8Array, good: Uint8Array) {
  try {
    walkStateVector(vector)
  } catch (error) {
    if (error instanceof MalformedUpdate) return
    throw error
  }
  try {
    Y.diffUpdate(good, vector)
  } catch (error) {
    throw new Finding(`accepted a vector, and yjs throws ${(error as Error).message}: ${hex(vector)} on ${hex(good)}`)
  }
}

/** Whether yjs can also apply it to the document that it was made from. A writer can break that: it is counted only. */
function conflicts(good: Uint8Array, update: Uint8Array): boolean {
  try {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, good)
    Y.applyUpdate(doc, update)
    Y.encodeStateAsUpdate(doc)
    return false
  } catch {
    return true
  }
}

/**
 * One document and many hostile updates derived from it. All of it follows from the seed.
 *
 * @throws {Finding}
 */
export function fuzzRound(seed: number, counts: Counts, hostile = 60): void {
  const random = randomFrom(seed)
  const made = realUpdates(random, 10 + random(50))
  counts.documents++
  counts.real += checkReal(random, made)
  const good = Y.encodeStateAsUpdate(pick(random, made.docs))
  const known = [...Y.decodeStateVector(Y.encodeStateVector(pick(random, made.docs)))].map(([client, to]) => ({
    client,
    to,
  }))
  // What was refused for a new reason, or accepted, is worth changing further: it has got past more of the checks.
  const corpus = [...made.updates, good]
  const reasons = new Set<string>()
  for (let i = 0; i < hostile; i++) {
    const update = random(3) === 0 ? invent(random, known) : mutate(random, pick(random, corpus), pick(random, corpus))
    counts.hostile++
    try {
      walkUpdate(update)
    } catch (error) {
      if (!(error instanceof MalformedUpdate))
        throw new Finding(`the validator itself failed: ${hex(update)}`, { cause: error })
      if (!reasons.has(error.message) && corpus.length < rejects) corpus.push(update)
      reasons.add(error.message)
      continue
    }
    counts.accepted++
    if (corpus.length < rejects) corpus.push(update)
    checkAccepted(update, good, someVector(random, made.updates))
    if (conflicts(good, update)) counts.conflicting++
    checkVector(mutate(random, Y.encodeStateVectorFromUpdate(update), good.subarray(0, 20)), good)
  }
}

export const noCounts = (): Counts => ({ documents: 0, real: 0, hostile: 0, accepted: 0, conflicting: 0 })

/** Rounds until the time is over. `before` hears of each seed first, so that one that never ends is known. */
export function fuzz(seed: number, ms: number, before: (seed: number) => void = () => {}): Counts {
  const counts = noCounts()
  const silenced = { error: console.error, warn: console.warn }
  console.error = console.warn = () => {}
  try {
    for (const endsAt = performance.now() + ms; performance.now() < endsAt; seed++) {
      before(seed)
      try {
        fuzzRound(seed, counts)
      } catch (error) {
        if (error instanceof Finding) error.message = `seed ${seed}: ${error.message}`
        throw error
      }
    }
  } finally {
    Object.assign(console, silenced)
  }
  return counts
}
