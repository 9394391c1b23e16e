#!/usr/bin/env node
/** `npm run bench`: installs the peers and runs the benchmarks; see docs/benchmarks.md. */
import { spawnSync } from 'node:child_process'
import { bunPath, installAll, root } from './setup.mjs'

installAll()
const done = spawnSync(bunPath(), [`${root}/bench/run.ts`, ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' })
process.exit(done.status ?? 1)
