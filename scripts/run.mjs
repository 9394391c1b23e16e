#!/usr/bin/env node
/**
 * Runs `usher <command>` on a machine that has Node and npm and nothing else: brings the pinned Bun through npm,
 * installs what the server needs, and goes. Plain JavaScript on Node, because nothing else is there yet.
 */
import { spawn } from 'node:child_process'
import { bunPath, installServer, root } from './setup.mjs'

const args = process.argv.slice(2)
const watch = args[0] === '--watch'
const usherArgs = watch ? args.slice(1) : args

installServer()
const child = spawn(bunPath(), [...(watch ? ['--watch'] : []), `${root}/apps/server/src/main.ts`, ...usherArgs], {
  stdio: 'inherit',
})
// npm passes signals on (through `exec`, because a shell in between would keep them to itself); the server shuts down by itself and we follow with its exit code.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
// npm may be killed without a word to us: then there is nobody left to serve for.
const parent = process.ppid
const watchParent = setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 1000)
watchParent.unref()
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)))
