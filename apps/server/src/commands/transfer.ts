import { once } from 'node:events'
import {
  chmodSync,
  createWriteStream,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import type { Config } from '../config.ts'
import { exportInstance, type ImportReport, importUsers, type Reject } from '../domains/transfer/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import { createCtx } from '../runtime.ts'
import { findInstance, withRuntime } from './instances.ts'
import { usageOf } from './usage.ts'

type Flags = {
  instance?: string | undefined
  json?: boolean | undefined
  rejects?: string | undefined
  out?: string | undefined
  again?: boolean | undefined
  'dry-run'?: boolean | undefined
  'keep-ids'?: boolean | undefined
  'no-events'?: boolean | undefined
}

/** `usher import users FILE` */
export function importFile(config: Config, [what, file]: string[], flags: Flags): Promise<void> {
  if (what !== 'users') throw new ConfigError(usageOf('import'))
  if (!file) throw new ConfigError('usher import users FILE: the file is missing.')
  if (!existsSync(file)) throw new ConfigError(`There is no file ${file}.`)
  if (statSync(file).isDirectory()) throw new ConfigError(`${file} is a directory: name the file in it.`)
  return withRuntime(config, async (runtime) => {
    const instance = findInstance(runtime.instances, flags.instance)
    const rejectsFile = flags.rejects ?? `${file}.rejects.jsonl`
    const rejects = openRejects(rejectsFile)
    const progress = showProgress()
    const report = await importUsers(createCtx(runtime, instance, { type: 'system', job: 'import' }), {
      source: Bun.file(file),
      keepIds: flags['keep-ids'] ?? false,
      again: flags.again ?? false,
      dryRun: flags['dry-run'] ?? false,
      events: !flags['no-events'],
      onResume: ({ rejected }) => rejects.keep(rejected),
      onRejects: (all) => rejects.add(all),
      onProgress: ({ position, rejected, share }) =>
        progress.show(`${number(position)} records, ${number(rejected)} rejected`, position, share),
    })
    progress.end()
    console.log(flags.json ? JSON.stringify(wire(report, rejectsFile)) : describe(report, flags, rejectsFile))
  })
}

/** `usher export` */
export function exportFile(config: Config, flags: Flags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const instance = findInstance(runtime.instances, flags.instance)
    const ctx = createCtx(runtime, instance, { type: 'system', job: 'export' })
    const { out } = flags
    if (out === undefined) {
      if (process.stdout.isTTY)
        throw new ConfigError('An export holds secrets and does not belong on a screen: give --out FILE, or a pipe.')
      await exportInstance(ctx, { write: (lines) => write(process.stdout, lines) })
      return
    }
    // Whole or not at all: under its own name the file appears when it is complete.
    const partial = `${out}.part`
    const stream = createWriteStream(partial, { fd: openPrivate(partial) })
    const progress = showProgress()
    const { users } = await exportInstance(ctx, {
      write: (lines) => write(stream, lines),
      onProgress: ({ users, of }) => progress.show(`${number(users)} users`, users, users / of),
    })
    stream.end()
    await once(stream, 'close')
    renameSync(partial, out)
    progress.end()
    console.log(
      flags.json
        ? JSON.stringify({ users, file: out })
        : `${number(users)} ${users === 1 ? 'user is' : 'users are'} in ${out}.`,
    )
  })
}

/** A file that nobody else may read, whatever it was before. */
function openPrivate(file: string, flag: 'w' | 'a' = 'w'): number {
  const descriptor = openSync(file, flag, 0o600)
  chmodSync(file, 0o600)
  return descriptor
}

async function write(stream: NodeJS.WritableStream, text: string) {
  if (!stream.write(text)) await once(stream, 'drain')
}

/** Rejected records, one JSON object a line: where, who and why, and nothing else of what the record holds. */
function openRejects(file: string) {
  let begun = false
  const begin = (kept: string) => {
    begun = true
    openPrivate(file)
    writeFileSync(file, kept)
  }
  return {
    /** Lines of a batch that was taken back with its transaction come again, so those beyond the count go. */
    keep: (count: number) => {
      const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, count) : []
      begin(lines.map((line) => `${line}\n`).join(''))
    },
    add: (rejects: readonly Reject[]) => {
      if (!begun) begin('')
      writeFileSync(file, rejects.map((reject) => `${JSON.stringify(reject)}\n`).join(''), { flag: 'a', flush: true })
    },
  }
}

const number = (n: number) => n.toLocaleString('en-US')

/** A line that is written over on a terminal; elsewhere one line every few seconds. Always on stderr. */
function showProgress() {
  const startedAt = performance.now()
  const { isTTY } = process.stderr
  let shownAt = startedAt
  let begin: number | undefined
  return {
    show(text: string, done: number, share = 0) {
      const now = performance.now()
      begin ??= done
      if (now - shownAt < (isTTY ? 100 : 5000)) return
      shownAt = now
      const rate = `${number(Math.round(((done - begin) * 1000) / (now - startedAt)))}/s`
      const bar = `${'█'.repeat(Math.round(share * 24)).padEnd(24, '░')} ${Math.floor(share * 100)} %  `
      process.stderr.write(isTTY ? `\r\x1b[2K${bar}${text}, ${rate}` : `${text}, ${rate}\n`)
    },
    end() {
      if (isTTY) process.stderr.write('\r\x1b[2K')
    },
  }
}

function wire(report: ImportReport, rejectsFile: string) {
  const { position, imported, rejected, resumedAt, fileHash } = report
  return {
    records: position,
    imported,
    rejected,
    resumed_at: resumedAt,
    file_hash: fileHash,
    ...(rejected > 0 && { rejects: rejectsFile }),
  }
}

function describe(report: ImportReport, flags: Flags, rejectsFile: string): string {
  const { imported, rejected, resumedAt, position } = report
  const users = `${number(imported)} ${imported === 1 ? 'user' : 'users'}`
  const verb = flags['dry-run'] ? 'would be' : imported === 1 ? 'is' : 'are'
  return [
    ...(resumedAt > 0 ? [`An earlier run of this file had done ${number(resumedAt)} of its records.`] : []),
    `${users} ${verb} imported, ${number(rejected)} of ${number(position)} records rejected.`,
    ...(rejected > 0 ? [`Why is in ${rejectsFile}, by line.`] : []),
  ].join('\n')
}
