import { createInterface } from 'node:readline/promises'
import type { Change, Plan } from '../domains/configuration/index.ts'
import type { Instance } from '../domains/instances/index.ts'

const signs = { add: '+', change: '~', remove: '-' }

/** A plan for people: a line for each change, and what to know. Secrets are never in it. */
export function describePlan(plan: Plan, instance: Pick<Instance, 'name' | 'environment'>): string {
  const { changes, notes, problems } = plan
  const lines = [`Instance "${instance.name}" (${instance.environment})`, '']
  if (changes.length === 0) lines.push('  Nothing differs.')
  for (const change of changes) lines.push(`  ${signs[change.action]} ${change.path}${details(change)}`)
  const count = (action: Change['action']) => changes.filter((change) => change.action === action).length
  if (changes.length > 0)
    lines.push('', `  ${count('add')} to add, ${count('change')} to change, ${count('remove')} to remove.`)
  if (notes.length > 0) lines.push('', 'To know:', ...notes.map((note) => `  ${note}`))
  if (problems.length > 0) lines.push('', 'Missing:', ...problems.map((problem) => `  ${problem}`))
  return lines.join('\n')
}

function details({ action, from, to }: Change): string {
  if (action === 'remove') return ''
  if (action === 'add') return `  ${text(to)}`
  if (Array.isArray(from) && Array.isArray(to) && [...from, ...to].every((entry) => typeof entry === 'string')) {
    const gone = from.filter((entry) => !to.includes(entry)).map((entry) => `-${entry}`)
    const added = to.filter((entry) => !from.includes(entry)).map((entry) => `+${entry}`)
    if (gone.length + added.length > 0) return `  ${[...added, ...gone].join(' ')}`
  }
  return `  ${text(from)} → ${text(to)}`
}

const text = (value: unknown) => (value === undefined ? '(not set)' : JSON.stringify(value))

/** The same for programs. */
export function wirePlan({ changes, notes, problems }: Plan, instance: Instance) {
  return { instance: instance.name, changes, notes, problems }
}

/** Asks at the terminal. Undefined: there is nobody to ask. */
export async function confirm(question: string): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return undefined
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim())
  } finally {
    terminal.close()
  }
}
