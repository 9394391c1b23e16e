import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryDirectory } from '../support/usher.ts'

const root = join(import.meta.dir, '../..')

for (const [signal, what] of [
  ['SIGTERM', 'asked to stop'],
  ['SIGKILL', 'killed'],
] as const)
  test(`npm start stops the server and its database when npm is ${what}`, async () => {
    using directory = temporaryDirectory()
    const npm = Bun.spawn(['npm', 'start', '--', '--json', '--port', '0', '--data', directory.path], {
      cwd: root,
      env: { ...process.env, LOG_LEVEL: 'warn' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const reader = npm.stdout.getReader()
    let line = ''
    while (!line.includes('\n')) line += new TextDecoder().decode((await reader.read()).value)
    // Programs read this line: npm adds none of its own.
    const ready = JSON.parse(line)
    expect(ready.event).toBe('ready')
    const postmaster = Number((await Bun.file(join(directory.path, 'postgres/postmaster.pid')).text()).split('\n')[0])
    npm.kill(signal)
    const deadline = Date.now() + 10_000
    const alive = () => {
      try {
        process.kill(postmaster, 0)
        return true
      } catch {
        return false
      }
    }
    while (alive() && Date.now() < deadline) await Bun.sleep(50)
    expect(alive()).toBe(false)
    await expect(fetch(`${ready.url}/healthz`)).rejects.toThrow()
  }, 60_000)
