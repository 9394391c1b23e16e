import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const toolsDir = join(root, '.tools')
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const bunVersion = devDependencies.bun

/** The pinned Bun, brought through npm when it is not there. */
export function bunPath() {
  const home = join(toolsDir, `bun-${bunVersion}`)
  // npm's package names the binary bun.exe on every platform.
  const bun = join(home, 'node_modules', 'bun', 'bin', 'bun.exe')
  if (existsSync(join(home, '.installed'))) return bun
  say(`installing Bun ${bunVersion} through npm`)
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'package.json'), '{"private":true}\n')
  run(
    'npm',
    ['install', '--no-audit', '--no-fund', '--no-save', '--loglevel=error', '--prefix', home, `bun@${bunVersion}`],
    {
      cwd: home,
    },
  )
  run(bun, ['--version'], { quiet: true })
  writeFileSync(join(home, '.installed'), `${bunVersion}\n`)
  return bun
}

/** What `npm start` needs: the server's own packages without development ones, and the SDK files that it serves. */
export function installServer() {
  install('server', ['--production', '--filter', '@usher/server'])
}

/** What the tests need: the tests' own packages and those of the examples that the browser tests run. */
export function installTests() {
  install('tests', [])
  installPackage('examples/tasks-nextjs')
  installPackage('examples/live-nextjs')
  installPackage('tests/support/y-websocket-4')
}

/** Everything, the benchmark's peers included. */
export function installAll() {
  install('tests', [])
  installPackage('bench')
}

/** Each set contains the one before it, so an installation of a larger set is left alone by a smaller one. */
const sets = ['server', 'tests']

function install(set, flags) {
  const lock = digest('bun.lock', 'apps/server/src/assets/sdk-assets.json')
  const stampFile = join(root, 'node_modules', '.usher-installed.json')
  const stamp = existsSync(stampFile) ? JSON.parse(readFileSync(stampFile, 'utf8')) : {}
  if (stamp.lock === lock && sets.indexOf(stamp.set) >= sets.indexOf(set)) return
  say(`installing packages (${set})`)
  run(bunPath(), ['install', '--frozen-lockfile', ...flags], { quiet: true })
  run(bunPath(), [join(root, 'scripts', 'fetch-sdk-assets.ts')])
  writeFileSync(stampFile, JSON.stringify({ lock, set }))
}

/** A package with a lockfile of its own: what it needs must not become part of the server's installation. */
function installPackage(folder) {
  const stampFile = join(root, folder, 'node_modules', '.usher-installed')
  const lock = digest(`${folder}/bun.lock`)
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === lock) return
  say(`installing packages (${folder})`)
  run(bunPath(), ['install', '--frozen-lockfile'], { quiet: true, cwd: join(root, folder) })
  writeFileSync(stampFile, lock)
}

function digest(...files) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/** Runs a command; its own output goes to stderr, because stdout belongs to the command that the caller asked for. */
export function run(command, args, { cwd = root, quiet = false, env = process.env } = {}) {
  const done = spawnSync(command, args, {
    cwd,
    env,
    stdio: ['ignore', quiet ? 'pipe' : 2, quiet ? 'pipe' : 2],
    encoding: 'utf8',
  })
  if (done.status === 0) return
  if (quiet) process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`)
  say(`${command} ${args[0]} failed${done.error ? `: ${done.error.message}` : ''}`)
  process.exit(1)
}

export function say(text) {
  process.stderr.write(`usher: ${text}\n`)
}
