/**
 * `bun run check`: format, lint, types, the table of compatibility, and the tests beside what changed. `--all` runs every test.
 * The full run on a fresh machine is `npm test`.
 */
import { $ } from 'bun'

const root = `${import.meta.dir}/..`
const changed = (await $`git -C ${root} status --porcelain --untracked-files=all`.text())
  .split('\n')
  .map((line) => line.slice(3).split(' -> ').at(-1) ?? '')
  .filter((file) => /\.tsx?$/.test(file))
const folders = [...new Set(changed.map((file) => file.split('/').slice(0, -1).join('/')))].filter(Boolean)

const steps: [string, string[]][] = [
  ['format and lint', ['biome', 'check', '--write', '.']],
  ['types', ['tsc', '--noEmit']],
  ['table of compatibility', ['bun', 'scripts/routes.ts']],
]
const withTests = folders.filter((folder) => [...new Bun.Glob('*.test.ts').scanSync(`${root}/${folder}`)].length > 0)
if (process.argv.includes('--all')) steps.push(['tests', ['bun', 'test']])
else if (withTests.length > 0) steps.push(['tests', ['bun', 'test', ...withTests.map((f) => `./${f}/`)]])

for (const [name, command] of steps) {
  const done = Bun.spawnSync(command, {
    cwd: root,
    stdio: ['inherit', 'inherit', 'inherit'],
    env: { ...process.env, PATH: `${root}/node_modules/.bin:${process.env.PATH}` },
  })
  if (done.exitCode !== 0) {
    console.error(`check: ${name} failed`)
    process.exit(1)
  }
}
