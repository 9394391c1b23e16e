import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryDirectory } from '../support/usher.ts'
import { type SyncServerProcess, startSyncServer } from './support.ts'

/** The package as it is published, in plain Node. */
const root = join(import.meta.dir, '../..')
const folder = temporaryDirectory()
let server: SyncServerProcess
beforeAll(async () => {
  server = await startSyncServer()
}, 60_000)
afterAll(async () => {
  await server?.stop()
  folder[Symbol.dispose]()
})

const program = `
import { connect, connectRealtime, encryptedWebSocket, passphraseKeys } from '@usher/sync'
import { createVault } from '@usher/sync/vault'
import { createSender } from '@usher/sync/crypto'
import WebSocket from 'ws'

const [, , url] = process.argv
if (globalThis.Bun) throw new Error('this is not Node')
for (const each of [connectRealtime, encryptedWebSocket, createVault, createSender])
  if (typeof each !== 'function') throw new Error('something is missing')
for (const key of [() => undefined, () => passphraseKeys('correct horse', { room: 'node-encrypted', cost: 'pbkdf2' })]) {
  const docId = key() ? 'node-encrypted' : 'node-plain'
  const [ada, bob] = [1, 2].map(() => connect({ url, docId, key: key(), WebSocket }))
  await Promise.all([ada.whenSynced(), bob.whenSynced()])
  ada.doc.getText('t').insert(0, 'from Node')
  await ada.whenSaved()
  while (bob.doc.getText('t').toString() !== 'from Node') await new Promise((resolve) => setTimeout(resolve, 5))
  ada.destroy()
  bob.destroy()
}
console.log('done', process.versions.node)
`

test('the built package works in plain Node with ws, and its types are complete', async () => {
  const node = Bun.which('node')
  expect(node).not.toBeNull()
  const modules = join(folder.path, 'node_modules')
  const dist = join(modules, '@usher/sync')
  mkdirSync(join(modules, '@types'), { recursive: true })
  const built = Bun.spawnSync([node as string, join(root, 'packages/sync/build.mjs'), dist])
  expect(built.stderr.toString() + built.stdout.toString()).toBe('')
  // What npm would install beside it.
  const { dependencies } = await Bun.file(join(dist, 'package.json')).json()
  const links = [
    ...Object.keys(dependencies).map((name) => [name, join(root, 'packages/sync')]),
    ...['yjs', 'ws', '@types/ws', '@types/react', 'react'].map((name) => [name, join(root, 'tests')]),
  ] as [string, string][]
  for (const [name, from] of links) {
    const target = join(modules, name)
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(join(from, 'node_modules', name), target)
  }
  writeFileSync(join(folder.path, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder.path, 'main.js'), program)
  const ran = Bun.spawn([node as string, 'main.js', server.wsUrl], {
    cwd: folder.path,
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 15_000,
  })
  const [out, err] = await Promise.all([new Response(ran.stdout).text(), new Response(ran.stderr).text()])
  expect(err).toBe('')
  expect(out).toStartWith('done')

  // A program that uses it, under the strict rules that people have.
  writeFileSync(
    join(folder.path, 'use.ts'),
    `import { connect, type ConnectionState } from '@usher/sync'
import { useDocument } from '@usher/sync/react'
export const state: ConnectionState = connect({ url: '', docId: '' }).state
export const used: typeof useDocument = useDocument
`,
  )
  writeFileSync(
    join(folder.path, 'tsconfig.json'),
    '{"compilerOptions":{"strict":true,"noEmit":true,"module":"NodeNext","target":"ES2022","lib":["ES2023","DOM"],"types":[]},"files":["use.ts"]}',
  )
  const checked = Bun.spawnSync([join(root, 'node_modules/.bin/tsc'), '-p', folder.path])
  expect(checked.stdout.toString()).toBe('')
}, 60_000)
