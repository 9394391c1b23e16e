import { expect, test } from 'bun:test'
import { Liveness } from './liveness.ts'

function socket(data: unknown = {}) {
  const calls: string[] = []
  return { calls, data, ping: () => calls.push('ping'), terminate: () => void calls.push('terminate') }
}

test('a peer that answers pings stays, one that does not is ended within a minute, one that is paused is waited for', () => {
  const liveness = new Liveness<ReturnType<typeof socket>>()
  const [live, gone, paused, closed] = [socket(), socket(), socket({ paused: true }), socket()]
  for (const one of [live, gone, paused, closed]) liveness.heard(one)
  liveness.closed(closed)
  for (let tick = 1; tick <= 11; tick++) {
    liveness.tick()
    if (live.calls.length > 0) liveness.heard(live)
  }
  expect(gone.calls).toEqual(['ping', 'ping', 'terminate'])
  expect(live.calls).not.toContain('terminate')
  expect([...paused.calls, ...closed.calls]).toEqual([])
})
