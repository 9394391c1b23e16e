import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** Writes `dist/`: JavaScript, types and a package.json of its own, which is what is published (`npm publish ./dist`). */
const root = import.meta.dirname ?? dirname(new URL(import.meta.url).pathname)
const out = process.argv[2] ?? join(root, 'dist')
rmSync(out, { recursive: true, force: true })
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', out], { stdio: 'inherit' })

const { devDependencies: _, scripts: __, exports, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json')))
const built = Object.entries(exports).map(([entry, source]) => {
  const path = source.replace('./src/', './').replace(/\.ts$/, '')
  return [entry, { types: `${path}.d.ts`, import: `${path}.js` }]
})
const published = { ...manifest, sideEffects: false, engines: { node: '>=20' }, exports: Object.fromEntries(built) }
writeFileSync(join(out, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
