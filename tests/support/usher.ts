import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Subprocess } from 'bun'
import server from '../../apps/server/package.json'
import { initializeCluster } from '../../apps/server/src/database/embedded.ts'
import { copyCluster } from './clusters.ts'

const root = join(import.meta.dir, '../..')
const main = join(import.meta.dir, '../../apps/server/src/main.ts')

const embeddedKind = `embedded ${JSON.stringify(server.optionalDependencies)}`

export type Ready = {
  event: 'ready'
  url: string
  publishable_key: string
  secret_key: string
  data: string
  database: 'embedded' | 'postgres'
  ms: number
}

export type UsherProcess = AsyncDisposable & {
  ready: Ready
  process: Subprocess<'ignore', 'pipe', 'pipe'>
  /** Everything that it wrote on stdout and stderr so far. */
  output: () => { stdout: string; stderr: string }
  /** SIGTERM, then the exit code. */
  stop: () => Promise<number>
}

type Options = {
  args?: string[]
  command?: string[]
  env?: Record<string, string>
  data?: string
  /** Another `main.ts` than the one that is here. */
  program?: string
  /** Leaves it to the program to make its database cluster, as it does where nobody copies one. */
  makesCluster?: boolean
}

/** A data directory that goes with the test. */
export function temporaryDirectory(name = 'usher-tests-'): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), name))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** Where the server writes down which routes this test calls, when the tests are run for that. */
function routeLog() {
  const directory = process.env.USHER_ROUTE_LOG
  return directory ? { USHER_ROUTE_LOG: join(directory, encodeURIComponent(relative(root, Bun.main))) } : {}
}

/** A clean one: settings of the caller's shell change no test. Hashes cost the least that is allowed: there are many. */
const environment = () => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  LOG_LEVEL: 'warn',
  USHER_PASSWORD_COST: 'm=19456,t=2',
})

/** Starts the real program on a free port and waits until it says that it is ready. */
export async function startUsher({
  args = [],
  command = ['start'],
  env = {},
  data,
  program = main,
  makesCluster = false,
}: Options = {}): Promise<UsherProcess> {
  const own = data === undefined ? temporaryDirectory() : undefined
  const cluster = join(data ?? own?.path ?? '', 'postgres')
  if (!makesCluster && !env.DATABASE_URL && !existsSync(cluster))
    await copyCluster(embeddedKind, cluster, (directory) => initializeCluster(directory))
  const flags = ['--json', '--data', data ?? own?.path ?? '', ...(args.includes('--port') ? [] : ['--port', '0'])]
  const child = Bun.spawn([process.execPath, program, ...command, ...flags, ...args], {
    env: { ...environment(), ...routeLog(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  const collect = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void) => {
    for await (const chunk of stream.pipeThrough(new TextDecoderStream() as never)) add(String(chunk))
  }
  collect(child.stdout, (text) => {
    stdout += text
  })
  collect(child.stderr, (text) => {
    stderr += text
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const code = await child.exited
    own?.[Symbol.dispose]()
    return code
  }
  const deadline = Date.now() + 60_000
  while (!stdout.includes('\n')) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`usher did not start:\n${stderr}`)
    }
    await Bun.sleep(5)
  }
  const ready = JSON.parse(stdout.split('\n', 1)[0] ?? '') as Ready
  return {
    ready,
    process: child,
    output: () => ({ stdout, stderr }),
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop()
    },
  }
}

/** Runs a command of the program to its end. */
export async function runUsher(args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, main, ...args], {
    env: { ...environment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { stdout, stderr, code }
}

/** What `/v1/environment` says, as far as tests wait for it. */
export type Environment = {
  auth_config: Record<string, unknown>
  display_config: Record<string, unknown>
  api_keys_settings: Record<string, unknown>
  organization_settings: Record<string, unknown>
  user_settings: {
    attributes: Record<string, Record<string, unknown>>
    sign_in: { second_factor: { required: boolean } }
    sign_up: Record<string, unknown>
    social: Record<string, unknown>
  }
}

/** Waits until the running server's environment says what is wanted: it heeds another process within a second. */
export async function untilEnvironment({ ready }: UsherProcess, wanted: (environment: Environment) => boolean) {
  for (const end = Date.now() + 5000; ; await Bun.sleep(50)) {
    const response = await fetch(`${ready.url}/v1/environment`)
    if (wanted((await response.json()) as Environment)) return
    if (Date.now() > end) throw new Error('the running server has not heard of the change')
  }
}

/** Changes settings of the default instance by the command line, and waits until the running server has them. */
export async function changeSettings(
  usher: UsherProcess,
  settings: object,
  wanted: (environment: Environment) => boolean,
): Promise<void> {
  using folder = temporaryDirectory()
  const file = join(folder.path, 'settings.json')
  writeFileSync(file, JSON.stringify(settings))
  const args = ['instances', 'settings', 'development', '--set', file, '--data', usher.ready.data]
  const { code, stderr } = await runUsher(args)
  if (code !== 0) throw new Error(stderr)
  await untilEnvironment(usher, wanted)
}
