import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Ready } from './usher.ts'

export const exampleDirectory = join(import.meta.dir, '../../examples/tasks-nextjs')
const next = join(exampleDirectory, 'node_modules/next/dist/bin/next')

/** False where the example's own packages are not installed. */
export const exampleInstalled = existsSync(next)

function freePort(): number {
  const server = Bun.serve({ port: 0, fetch: () => new Response() })
  const { port } = server
  server.stop(true)
  return port as number
}

/** Runs a command of the example to its end, and fails with what it printed. */
async function run(command: string[], env: Record<string, string>): Promise<void> {
  const child = Bun.spawn(command, { cwd: exampleDirectory, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${command.join(' ')} failed:\n${stdout}${stderr}`)
}

/** Where servers listen whose example is built alike: its addresses are part of the build, which takes half a minute. */
export const sharedPort = freePort()

/** Finished builds of this process, by what is part of them. */
const builds = new Map<string, string>()
const output = join(exampleDirectory, '.next')
const finished = join(exampleDirectory, 'node_modules/.cache/usher-test-builds')
const withoutCache = (source: string) => source !== join(output, 'cache')

async function build(env: Record<string, string>): Promise<void> {
  // Everything but what it reads when it runs.
  const { TASKS_DATABASE_URL: _, CLERK_SECRET_KEY: __, ...built } = env
  const key = JSON.stringify(built)
  const kept = builds.get(key)
  if (kept) {
    rmSync(output, { recursive: true })
    cpSync(kept, output, { recursive: true })
    return
  }
  await run(['node', next, 'build'], env)
  if (builds.size === 0) rmSync(finished, { recursive: true, force: true })
  const directory = join(finished, String(builds.size))
  cpSync(output, directory, { recursive: true, filter: withoutCache })
  builds.set(key, directory)
}

/**
 * Makes the example's roles with its own script, builds it for the instance (its public settings are part of the
 * build) and starts it on a free port, its data in `directory`.
 */
export async function startExample(usher: Ready, directory: string) {
  const port = freePort()
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    NODE_ENV: 'production',
    NEXT_TELEMETRY_DISABLED: '1',
    NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: usher.publishable_key,
    CLERK_SECRET_KEY: usher.secret_key,
    CLERK_API_URL: usher.url,
    CLERK_FAPI_URL: usher.url,
    NEXT_PUBLIC_CLERK_PROXY_URL: '/__clerk',
    NEXT_PUBLIC_CLERK_SIGN_IN_URL: '/sign-in',
    NEXT_PUBLIC_CLERK_SIGN_UP_URL: '/sign-up',
    NEXT_PUBLIC_CLERK_SIGN_IN_FALLBACK_REDIRECT_URL: '/tasks',
    NEXT_PUBLIC_CLERK_SIGN_UP_FALLBACK_REDIRECT_URL: '/tasks',
    NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED: '1',
    NEXT_PUBLIC_CLERK_KEYLESS_DISABLED: '1',
    TASKS_DATABASE_URL: `file:${join(directory, 'tasks.db')}`,
  }
  await run([process.execPath, 'scripts/setup-roles.ts'], env)
  await build(env)
  const child = Bun.spawn(['node', next, 'start', '--port', String(port)], {
    cwd: exampleDirectory,
    env,
    stdio: ['ignore', Bun.file(join(directory, 'next.log')), Bun.file(join(directory, 'next-errors.log'))],
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await child.exited
  }
  const url = `http://localhost:${port}`
  const deadline = Date.now() + 30_000
  while (!(await fetch(url).catch(() => undefined))?.ok) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop()
      throw new Error(`the example did not start:\n${await Bun.file(join(directory, 'next-errors.log')).text()}`)
    }
    await Bun.sleep(100)
  }
  return { url, stop, errors: () => Bun.file(join(directory, 'next-errors.log')).text() }
}
