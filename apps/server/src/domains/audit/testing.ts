import type { TestInstance } from '../../testing/server.ts'
import { recordEvents } from './record-events.ts'

const patienceMs = 20_000

/**
 * Gives every committed event of an instance its position. The server's own sequencer may be at it at this moment: then
 * this one finds nothing to do, and waits for the other.
 */
export async function assignAll(t: TestInstance): Promise<void> {
  const { sequencer, database } = t.server.runtime
  for (const end = Date.now() + patienceMs; ; await Bun.sleep(10)) {
    await sequencer.assign()
    const [left] = await database.systemSql`
      select 1 from events where instance_id = ${t.ctx().instance.id} and pending limit 1`
    if (!left) return
    if (Date.now() > end) throw new Error('events have no position yet')
  }
}

/** Brings an instance's logs up to what was committed: tests do not wait for the recorder, but for its being done if it is at it. */
export async function recordAll(t: TestInstance): Promise<void> {
  await assignAll(t)
  const instanceId = t.ctx().instance.id
  for (let quiet = 0; quiet < 3; await Bun.sleep(10)) {
    const recorded = await recordEvents(t.ctx({ type: 'system', job: 'audit' }))
    const [end] = await t.server.runtime.database.systemSql`
      select c.position = s.head as reached from audit_cursors c join event_streams s using (instance_id)
      where instance_id = ${instanceId}`
    if (end?.reached) return
    quiet = recorded ? 0 : quiet + 1
  }
}
