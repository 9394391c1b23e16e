/**
 * Whether every rule of docs/realtime-protocol.md is shown by a test: its id stands in the name of one. `bun
 * scripts/protocol-rules.ts` fails with what is missing, `--list` prints each rule with its tests.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Glob } from 'bun'

const root = join(import.meta.dir, '..')
const ruleId = /\b(?:T|R|Y|E|C)-N?\d{1,2}\b/g

/** A rule begins with its id in bold. */
export function rulesOf(page: string): string[] {
  return [...page.matchAll(/\*\*((?:T|R|Y|E|C)-N?\d{1,2})\*\*/g)].map(([, id = '']) => id)
}

/** Rules by the names of tests, and the other way round. Ids may stand anywhere in a name. */
export function testsByRule(): Map<string, { file: string; name: string }[]> {
  const found = new Map<string, { file: string; name: string }[]>()
  for (const pattern of ['apps/**/*.test.ts', 'packages/*/src/**/*.test.ts', 'tests/**/*.test.ts'])
    for (const file of new Glob(pattern).scanSync(root)) {
      if (file.includes('node_modules')) continue
      const text = readFileSync(join(root, file), 'utf8')
      const names =
        /\b(?:test|browserTest|it|describe)(?:\.\w+(?:\((?:[^()]|\([^()]*\))*\))?)*\(\s*(?:'([^']+)'|"([^"]+)"|`([^`]+)`)/g
      for (const [, one, two, three] of text.matchAll(names)) {
        const name = one ?? two ?? three ?? ''
        for (const [id] of name.matchAll(ruleId)) found.set(id, [...(found.get(id) ?? []), { file, name }])
      }
    }
  return found
}

if (import.meta.main) {
  const rules = rulesOf(readFileSync(join(root, 'docs/realtime-protocol.md'), 'utf8'))
  const tests = testsByRule()
  const open = rules.filter((id) => !tests.has(id))
  const twice = rules.filter((id, i) => rules.indexOf(id) !== i)
  const others = rulesOf(readFileSync(join(root, 'docs/encryption.md'), 'utf8'))
  const unknown = [...tests.keys()].filter((id) => !rules.includes(id) && !others.includes(id))
  if (process.argv.includes('--list'))
    for (const id of rules)
      console.log(id, (tests.get(id) ?? []).map(({ file, name }) => `\n  ${file}: ${name}`).join('') || '\n  none')
  if (twice.length > 0) console.error(`Rules that stand twice in docs/realtime-protocol.md: ${twice.join(', ')}`)
  if (open.length > 0) console.error(`Rules without a test whose name has their id: ${open.join(', ')}`)
  if (unknown.length > 0) console.error(`Tests name rules that the page does not have: ${unknown.join(', ')}`)
  process.exit(open.length + twice.length + unknown.length > 0 ? 1 : 0)
}
