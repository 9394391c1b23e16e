import { existsSync } from 'node:fs'
import { join } from 'node:path'

export const liveDirectory = join(import.meta.dir, '../../examples/live-nextjs')
const next = join(liveDirectory, 'node_modules/next/dist/bin/next')

/** False where the example's own packages are not installed. */
export const liveInstalled = existsSync(next)

type Options = {
  /** Keys of the instance and the plain address of its server. */
  usher: { url: string; publishable_key: string; secret_key: string }
  port: number
  /** For its logs. */
  directory: string
}

async function run(command: string[], env: Record<string, string>): Promise<void> {
  const child = Bun.spawn(command, { cwd: liveDirectory, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${command.join(' ')} failed:\n${stdout}${stderr}`)
}

/** Builds examples/live-nextjs with the packages of this repository as they stand, and starts it with Node. */
export async function startLiveExample({ usher, port, directory }: Options) {
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
    NEXT_PUBLIC_CLERK_SIGN_IN_FALLBACK_REDIRECT_URL: '/',
    NEXT_PUBLIC_CLERK_SIGN_UP_FALLBACK_REDIRECT_URL: '/',
    NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED: '1',
    NEXT_PUBLIC_CLERK_KEYLESS_DISABLED: '1',
  }
  // Folders are copied into node_modules; what was edited since is copied again, in no time when nothing was.
  await run([process.execPath, 'install', '--frozen-lockfile'], { ...env, NODE_ENV: 'development' })
  await run(['node', 'scripts/patch-next.mjs'], env)
  await run(['node', next, 'build'], env)
  const child = Bun.spawn(['node', next, 'start', '--port', String(port)], {
    cwd: liveDirectory,
    env,
    stdio: ['ignore', Bun.file(join(directory, 'next.log')), Bun.file(join(directory, 'next-errors.log'))],
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await child.exited
  }
  const errors = () => Bun.file(join(directory, 'next-errors.log')).text()
  const deadline = Date.now() + 30_000
  while (!(await fetch(`http://localhost:${port}`).catch(() => undefined))?.ok) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop()
      throw new Error(`the example did not start:\n${await errors()}`)
    }
    await Bun.sleep(100)
  }
  return { stop, errors, [Symbol.asyncDispose]: stop }
}
