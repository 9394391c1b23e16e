import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { InstanceRegistry } from './index.ts'

test('whoever hears that settings changed finds them changed, also when another node changed them', async () => {
  const t = await testInstance()
  const { runtime } = t.server
  const { id } = t.ctx().instance
  const other = new InstanceRegistry(runtime.database, runtime.config.keyring, runtime.instances.defaultHost)
  await other.start()
  const found: (string | undefined)[] = []
  const stop = runtime.bus.subscribe((event) => {
    if (event.instanceId === id && event.type === 'instance.updated')
      found.push(runtime.instances.find(id)?.settings.applicationName)
  })
  try {
    const names = Array.from({ length: 5 }, (_, i) => `Name ${i}`)
    for (const [i, applicationName] of names.entries()) {
      // Some by this node itself, whose own reading comes after its commit as well.
      await (i % 2 === 0 ? other : runtime.instances).changeSettings(id, { applicationName })
      for (const end = Date.now() + 5000; found.length <= i && Date.now() < end; ) await Bun.sleep(10)
    }
    expect(found).toEqual(names)
  } finally {
    stop()
  }
})
