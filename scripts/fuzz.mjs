#!/usr/bin/env node
/** `npm run fuzz`: random and hostile updates against the validator of documents, and against yjs; see docs/realtime.md. */
import { spawnSync } from 'node:child_process'
import { bunPath, installTests, root } from './setup.mjs'

installTests()
const done = spawnSync(bunPath(), [`${root}/tests/fuzz/run.ts`, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(done.status ?? 1)
