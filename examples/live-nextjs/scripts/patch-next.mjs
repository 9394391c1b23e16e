/**
 * Lets next-ws patch this project's copy of Next.js, without questions. Runs before `dev`, `build` and `start`; a copy that
 * is patched already is left alone.
 *
 * Package managers that link files out of a cache (bun, pnpm) share one copy between all projects of a machine, and
 * next-ws writes into the files as they are. So the files it may touch are made this project's own first.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, renameSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)
const next = dirname(require.resolve('next/package.json'))
if (!existsSync(join(next, '.next-ws-trace.json'))) {
  for (const folder of ['dist/server', 'dist/build/webpack/plugins']) {
    for (const name of readdirSync(join(next, folder), { recursive: true })) {
      const file = join(next, folder, name)
      const { nlink } = statSync(file)
      if (!file.endsWith('.js') || nlink === 1) continue
      copyFileSync(file, `${file}.own`)
      renameSync(`${file}.own`, file)
    }
  }
  // The version of Next.js is newer than the newest that next-ws names; the end-to-end tests show that it works.
  const cli = join(dirname(require.resolve('next-ws/package.json')), 'dist/cli.cjs')
  const { status } = spawnSync(process.execPath, [cli, 'patch', '--yes'], { stdio: 'inherit' })
  process.exit(status ?? 1)
}
