import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as Y from 'yjs'
import { walkUpdate } from './walk-update.ts'

test('the client looks at changes as the server does', () => {
  const body = (path: string) => readFileSync(join(import.meta.dir, path), 'utf8').replace(/^[\s\S]*class Walker/, '')
  const server = body('../../../apps/server/src/domains/sync/walk-update.ts')
    // What a server needs besides, and how it does the same faster.
    .replace(/ {2}stateVector\(\)[\s\S]*?\n {2}\}\n\n/, '')
    .replace(/ {4}\/\/ Most long texts are ASCII[\s\S]*?\n {4}\}\n/, '')
  expect(body('walk-update.ts')).toBe(server)
})

test('what Yjs makes passes', () => {
  const doc = new Y.Doc()
  const updates: Uint8Array[] = []
  doc.on('update', (update) => updates.push(update))
  const text = doc.getText('t')
  text.insert(0, 'Größe 🙂 '.repeat(50))
  text.format(2, 5, { bold: true, link: { to: ['x'] } })
  text.delete(3, 20)
  doc.getMap('m').set('list', [1, null, { a: new Uint8Array(9) }])
  doc.getMap('m').set('inner', new Y.XmlElement('p'))
  for (const update of [...updates, Y.mergeUpdates(updates), Y.encodeStateAsUpdate(doc)])
    expect(() => walkUpdate(update)).not.toThrow()
})
