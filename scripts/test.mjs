#!/usr/bin/env node
/**
 * `npm test`: installs what the tests need and runs all of them, each group in a process of its own. What a machine
 * lacks (Chromium, a PostgreSQL 15, nginx, Redis, libfaketime) is skipped and named; with `CI` set it is installed from Debian, and a skip fails.
 *
 * The last line is `N passed, N failed` and, where something was skipped, `, N skipped`.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { bunPath, installTests, root, run, say } from './setup.mjs'

const ci = Boolean(process.env.CI)
const only = process.argv.slice(2)

const findChromium = () =>
  [process.env.USHER_TEST_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
    (path) => path && existsSync(path),
  )
/** PostgreSQL 15 is what we promise to support at least, so it is preferred where there are several. */
const findPostgres = () => {
  const home = '/usr/lib/postgresql'
  const versions = existsSync(home) ? readdirSync(home).filter((v) => Number(v) >= 15) : []
  const folders = versions.sort((a, b) => Number(a) - Number(b)).map((v) => join(home, v, 'bin'))
  return [process.env.USHER_TEST_POSTGRES_BIN, ...folders].find((dir) => dir && existsSync(join(dir, 'initdb')))
}
const findNginx = () =>
  [process.env.USHER_TEST_NGINX, '/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'].find(
    (path) => path && existsSync(path),
  )
const findRedis = () =>
  [process.env.USHER_TEST_REDIS, '/usr/bin/redis-server', '/usr/local/bin/redis-server', '/usr/bin/valkey-server'].find(
    (path) => path && existsSync(path),
  )

/** A library that shows a process another time of day; in Debian it lies in the folder of the machine's architecture. */
const findFaketime = () => {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib') : []
  const libraries = folders.map((folder) => join('/usr/lib', folder, 'faketime/libfaketime.so.1'))
  return [process.env.USHER_TEST_FAKETIME, ...libraries].find((path) => path && existsSync(path))
}

const packages = [
  ...(findChromium() ? [] : ['chromium']),
  ...(findPostgres() ? [] : ['postgresql']),
  ...(findNginx() ? [] : ['nginx']),
  ...(findRedis() ? [] : ['redis-server']),
  ...(findFaketime() ? [] : ['libfaketime']),
]
if (ci && packages.length > 0) installDebianPackages(packages)
installTests()

const bun = bunPath()
const env = {
  ...process.env,
  PATH: [join(bun, '..'), join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  USHER_TEST_CHROMIUM: findChromium() ?? '',
  USHER_TEST_POSTGRES_BIN: findPostgres() ?? '',
  USHER_TEST_NGINX: findNginx() ?? '',
  USHER_TEST_REDIS: findRedis() ?? '',
  USHER_TEST_FAKETIME: findFaketime() ?? '',
}
const totals = { pass: 0, fail: 0, skip: 0 }
const failures = []
const missing = []
if (!env.USHER_TEST_CHROMIUM) missing.push('Chromium: the browser tests (Debian: apt install chromium)')
if (!env.USHER_TEST_POSTGRES_BIN)
  missing.push('PostgreSQL 15 or later: the tests with DATABASE_URL (Debian: apt install postgresql)')
if (!env.USHER_TEST_NGINX) missing.push('nginx: the test of a production server (Debian: apt install nginx)')
if (!env.USHER_TEST_REDIS) missing.push('Redis: the tests of several nodes (Debian: apt install redis-server)')
if (!env.USHER_TEST_FAKETIME) missing.push('libfaketime: the tests of leaping clocks (Debian: apt install libfaketime)')

const groups = only.length > 0 ? { first: [only], beside: [], browsers: [] } : allGroups()
if (ci && only.length === 0) {
  countCheck('format and lint', [join(root, 'node_modules/.bin/biome'), 'ci', '.'])
  countCheck('types', [join(root, 'node_modules/.bin/tsc'), '--noEmit'])
}
// Most tests wait more than they work, so three groups share two cores. Browsers and builds work, and what they show has
// to be there in time: one group runs beside them, and no more.
const several = availableParallelism() > 1
await inTurn(groups.first, { atOnce: several ? 3 : 1, together: several && groups.first.length > 1 })
const beside = inTurn(groups.beside, { together: several })
if (!several) await beside
await Promise.all([inTurn(groups.browsers), beside])

for (const { name, output } of failures) console.error(`\nusher: this failed in ${name}\n${output}`)
if (only.length === 0) await runAgainAlone()
for (const what of missing) say(`skipped for want of ${what}`)
if (ci && totals.skip > 0) {
  say(`${totals.skip} tests were skipped, and in CI nothing may be`)
  totals.fail += totals.skip
}
console.log(`${totals.pass} passed, ${totals.fail} failed${totals.skip > 0 ? `, ${totals.skip} skipped` : ''}`)
process.exit(totals.fail > 0 ? 1 : 0)

function testFolders() {
  return readdirSync(join(root, 'tests'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules')
    .map((entry) => `tests/${entry.name}`)
    .filter((dir) =>
      readdirSync(join(root, dir), { recursive: true }).some((file) => String(file).endsWith('.test.ts')),
    )
}

function countCheck(name, [command, ...args]) {
  const done = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' })
  totals[done.status === 0 ? 'pass' : 'fail'] += 1
  say(`${name}: ${done.status === 0 ? 'ok' : 'failed'}`)
}

/** Every test once. Sockets mostly wait for time to pass: they begin first and stand beside those that work. */
function allGroups() {
  const split = ['tests/realtime', 'tests/program', 'tests/e2e']
  const folders = testFolders().filter((dir) => !split.includes(dir))
  const sockets = testFiles('tests/realtime')
  const [waiting, ...more] = [0, 1, 2].map((n) => sockets.filter((_, i) => i % 3 === n))
  const [domains, faces] = serverGroups()
  return {
    first: [waiting, domains, more[0], ['tests/program'], faces],
    beside: [more[1], ...folders.map((dir) => [dir]), ['packages']],
    browsers: [['tests/e2e']],
  }
}

function testFiles(folder) {
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith('.test.ts'))
  return names.map((name) => `${folder}/${name}`)
}

/** The server's own tests in two halves of about the same length. */
function serverGroups() {
  const source = 'apps/server/src'
  const others = readdirSync(join(root, source), { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() ? entry.name !== 'faces' : entry.name.endsWith('.test.ts')))
    .map((entry) => `${source}/${entry.name}`)
  return [others, [`${source}/faces`]]
}

async function inTurn(groups, { atOnce = 1, together = false } = {}) {
  const waiting = [...groups]
  const work = async () => {
    for (let group = waiting.shift(); group; group = waiting.shift()) await runGroup(group, { together })
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

/**
 * Counts by bun's own summary; a process that dies without one counts as a failure.
 *
 * @param options.together what it says is shown in one piece at its end, for what runs beside others
 */
function runGroup(paths, { together = false } = {}) {
  say(`tests in ${nameOf(paths)}${together ? ' begin' : ''}`)
  return new Promise((resolve) => {
    const child = spawn(
      bun,
      ['test', '--timeout', '60000', ...paths.map((p) => (p.startsWith('-') ? p : `./${p.replace(/^\.\//, '')}`))],
      {
        cwd: root,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let text = ''
    const said = []
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        said.push(chunk)
        if (!together) process.stderr.write(chunk)
        text = (text + chunk).slice(-20_000)
      })
    }
    child.on('close', (code) => {
      if (together) {
        say(`tests in ${nameOf(paths)}`)
        for (const chunk of said) process.stderr.write(chunk)
      }
      const count = (word) => Number(text.match(new RegExp(`^\\s*(\\d+) ${word}`, 'm'))?.[1] ?? 0)
      const counted = { pass: count('pass'), fail: count('fail'), skip: count('skip') + count('todo') }
      if (code !== 0 && counted.fail === 0) counted.fail = 1
      for (const key of Object.keys(totals)) totals[key] += counted[key]
      if (counted.fail > 0) failures.push(...failuresIn(nameOf(paths), Buffer.concat(said).toString()))
      resolve(counted)
    })
  })
}

/** Each failed test with its file and what was printed before it, so that the end of a long log tells what happened. */
function failuresIn(group, output) {
  const linesBefore = 60
  // After its tests bun lists those that failed once more.
  const lines = output.split(/^\d+ tests? failed:$/m, 1)[0].split('\n')
  const failed = lines.flatMap((line, at) => (line.startsWith('(fail)') ? [at] : []))
  if (failed.length === 0) return [{ name: group, output: lines.slice(-linesBefore).join('\n') }]
  return failed.map((at) => {
    const before = lines.slice(Math.max(0, at - linesBefore), at)
    const lastOther = before.findLastIndex((line) => /^\((pass|fail|skip|todo)\)/.test(line))
    const file = lines
      .slice(0, at)
      .findLast((line) => /^\S+\.test\.tsx?:$/.test(line))
      ?.slice(0, -1)
    return { name: file ?? group, file, output: [...before.slice(lastOther + 1), lines[at]].join('\n') }
  })
}

/**
 * What failed beside others gets a second run with the machine to itself: many tests hold the server to bounds of time,
 * which three groups on two cores can miss. Only that run counts, and its line in the log tells that there was one: a
 * test that needs it often has a fault, or waits for too little.
 */
async function runAgainAlone() {
  const files = new Set(failures.flatMap(({ file }) => (file ? [file] : [])))
  for (const file of files) {
    const before = failures.filter((failure) => failure.file === file).length
    say(`${file}: ${before} failed; once more, alone`)
    const { pass, fail, skip } = await runGroup([file])
    totals.pass -= pass
    totals.skip -= skip
    const mended = Math.max(0, before - fail)
    totals.fail -= before
    totals.pass += mended
    say(`${file}: ${fail === 0 ? 'passed at the second run only' : `${fail} failed again`}`)
  }
}

function nameOf(paths) {
  return paths.length > 3 ? `${paths.slice(0, 3).join(' ')} …` : paths.join(' ')
}

function installDebianPackages(packages) {
  if (process.getuid?.() !== 0) return say(`not root: cannot install ${packages.join(', ')}`)
  const aptEnv = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], { quiet: true, env: aptEnv })
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { quiet: true, env: aptEnv })
}
