/**
 * `bun bench/run.ts [names…] [--write] [--full] [--tiny]`: runs the benchmarks and prints a table; `--write` keeps it in
 * docs/benchmarks.md, `--full` takes the large sizes, `--tiny` runs those that know it small, to see that they run.
 * A name may be that of a group (`realtime`); groups run only when they are named.
 */
import { parseArgs } from 'node:util'
import { fanOut } from './fan-out.ts'
import { idleSockets } from './idle-sockets.ts'
import { importing } from './import.ts'
import { mint } from './mint.ts'
import { multiTenant } from './multi-tenant.ts'
import { passwords } from './passwords.ts'
import { realtime } from './realtime/index.ts'
import { sessionCheck } from './session-check.ts'
import { startUp } from './start.ts'
import { describeMachine } from './support/machine.ts'
import { endAll } from './support/processes.ts'
import { type Benchmark, type Row, toMarkdown } from './support/rows.ts'
import { verify } from './verify.ts'
import { webhooks } from './webhooks.ts'

const benchmarks: readonly Benchmark[] = [
  mint,
  passwords,
  verify,
  sessionCheck,
  multiTenant,
  fanOut,
  idleSockets,
  webhooks,
  importing,
  startUp,
  ...realtime,
]

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean' }, full: { type: 'boolean' }, tiny: { type: 'boolean' } },
  allowPositionals: true,
})
const isMeant = ({ name, group }: Benchmark) =>
  positionals.length === 0 ? group === undefined : positionals.some((word) => word === name || word === group)
const unknown = positionals.filter((word) => !benchmarks.some(({ name, group }) => word === name || word === group))
if (unknown.length > 0) {
  console.error(
    `There is no benchmark ${unknown.join(', ')}. There are: ${benchmarks.map(({ name }) => name).join(', ')}.`,
  )
  process.exit(1)
}
const chosen = benchmarks.filter(isMeant)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    endAll()
    process.exit(1)
  })
}

const rows: Row[] = []
const methods: string[] = []
let failed = false
for (const { name, method, run } of chosen) {
  const startedAt = performance.now()
  process.stderr.write(`bench: ${name} … `)
  try {
    const result = await run()
    rows.push(...result.rows)
    methods.push(`**${name}.** ${[method, ...result.notes].join('\n\n')}`)
    process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`)
  } catch (error) {
    failed = true
    process.stderr.write(`failed: ${error instanceof Error ? error.message : error}\n`)
  }
}

const report = `${toMarkdown(rows)}\n\n${describeMachine()}\n\n## Method\n\n${methods.join('\n\n')}\n`
console.log(report)
if (values.write) {
  const { writeReport } = await import('./support/write-report.ts')
  await writeReport(report)
}
process.exit(failed ? 1 : 0)
