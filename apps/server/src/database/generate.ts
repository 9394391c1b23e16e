import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Glob } from 'bun'

/**
 * Writes the migration that the tables of all domains need. Until the first release there is a single one, made anew
 * each time; from then on this only ever adds files.
 */
const here = import.meta.dir
const root = join(here, '../../../..')
const out = join(here, 'migrations')
const schema = [...new Glob('domains/*/tables.ts').scanSync(join(here, '..'))].map((f) => join(here, '..', f)).sort()

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
const configFile = join(root, 'node_modules', '.cache-drizzle.config.json')
writeFileSync(
  configFile,
  JSON.stringify({ dialect: 'postgresql', schema, out: './apps/server/src/database/migrations' }),
)
const done = Bun.spawnSync(['bunx', '--bun', 'drizzle-kit', 'generate', '--name=initial', `--config=${configFile}`], {
  cwd: root,
  stdout: 'inherit',
  stderr: 'inherit',
  env: {
    ...process.env,
    PATH: `${join(root, 'apps/server/node_modules/.bin')}:${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
  },
})
rmSync(configFile)
if (done.exitCode !== 0 || readdirSync(out).length === 0) process.exit(1)
