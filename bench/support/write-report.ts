import { join } from 'node:path'
import { root } from './processes.ts'

const file = join(root, 'docs/benchmarks.md')
const begin = '<!-- written by `bun run bench -- --write`: -->'
const end = '<!-- end -->'

/** Puts the last run into docs/benchmarks.md; what people wrote around it stays. */
export async function writeReport(report: string): Promise<void> {
  const text = await Bun.file(file).text()
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (after === undefined) throw new Error(`${file} lacks its two marks`)
  await Bun.write(file, `${before}${begin}\n\n${report}\n${end}${after}`)
}
