import type { TestInstance } from '../../testing/server.ts'
import { recordEvents } from './record-events.ts'

/** Brings an instance's logs up to what was committed: tests do not wait for the recorder. */
export async function recordAll(t: TestInstance): Promise<void> {
  const { sequencer } = t.server.runtime
  // The server's own sequencer may be at it at this moment; then this one finds nothing to do, and the next round does.
  for (let quiet = 0; quiet < 3; ) {
    const assigned = await sequencer.assign()
    const recorded = await recordEvents(t.ctx({ type: 'system', job: 'audit' }))
    quiet = assigned + recorded === 0 ? quiet + 1 : 0
    await Bun.sleep(10)
  }
}
