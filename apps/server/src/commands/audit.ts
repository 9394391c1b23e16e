import { createWriteStream, openSync, readFileSync, renameSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Config } from '../config.ts'
import {
  type ExportFormat,
  exportEntries,
  recordEvents,
  type Verification,
  verifyChains,
} from '../domains/audit/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import type { Ctx } from '../kernel/ctx.ts'
import { createCtx, type Runtime } from '../runtime.ts'
import { findInstance, withRuntime } from './instances.ts'
import { usageOf } from './usage.ts'

type Flags = {
  instance?: string | undefined
  organization?: string | undefined
  against?: string | undefined
  format?: string | undefined
  out?: string | undefined
  json?: boolean | undefined
}

/** `usher audit verify | export` */
export function audit(config: Config, [verb]: string[], flags: Flags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const instance = findInstance(runtime.instances, flags.instance)
    const ctx = createCtx(runtime, instance, { type: 'system', job: 'operator' })
    switch (verb) {
      case 'verify':
        return verify(ctx, flags)
      case 'export':
        // Where no server runs, nobody else brings the log up to what was committed.
        await catchUp(ctx, runtime)
        return exportLog(ctx, flags)
      default:
        throw new ConfigError(usageOf('audit'))
    }
  })
}

/** Exits with 1 where an entry is not as it was written. */
async function verify(ctx: Ctx, flags: Flags): Promise<void> {
  const heads = flags.against === undefined ? undefined : readHeads(flags.against)
  const result = await verifyChains(ctx, { organizationId: flags.organization, heads })
  console.log(flags.json ? JSON.stringify(result) : describe(result))
  if (result.problems.length > 0) process.exitCode = 1
}

function readHeads(file: string): Verification['heads'] {
  try {
    const { heads } = JSON.parse(readFileSync(file, 'utf8'))
    if (Array.isArray(heads)) return heads
    throw new Error('it holds no heads')
  } catch (error) {
    throw new ConfigError(`${file} is not what usher audit verify --json wrote: ${(error as Error).message}`)
  }
}

function describe({ chains, entries, problems }: Verification): string {
  const number = (count: number, one: string, many: string) =>
    `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`
  const counted = `${number(entries, 'entry', 'entries')} in ${number(chains, 'log', 'logs')}`
  if (problems.length === 0) return `${counted}: every one is as it was written.`
  const lines = problems.map(
    ({ chain, place, id, problem }) => `  ${chain}, place ${place}${id ? `, ${id}` : ''}: ${problem}`,
  )
  return [`${counted}. Not as they were written:`, '', ...lines].join('\n')
}

async function catchUp(ctx: Ctx, { sequencer }: Runtime): Promise<void> {
  let more = true
  while (more) more = (await sequencer.assign()) + ((await recordEvents(ctx)) ?? 0) > 0
}

async function exportLog(ctx: Ctx, { organization, format = 'jsonl', out }: Flags): Promise<void> {
  if (format !== 'jsonl' && format !== 'csv') throw new ConfigError('--format is jsonl or csv.')
  const parts = await exportEntries(ctx, { organizationId: organization, format: format as ExportFormat })
  if (out === undefined) {
    for await (const part of parts) process.stdout.write(part)
    return
  }
  // Whole or not at all: under its own name the file appears when it is complete.
  const partial = `${out}.part`
  await pipeline(parts, createWriteStream(partial, { fd: openSync(partial, 'w', 0o600) }))
  renameSync(partial, out)
  console.log(`The log is in ${out}.`)
}
