import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sdkAssets, sdkAssetsDir } from '../apps/server/src/assets/sdk-assets.ts'

/**
 * Brings the browser files of the SDKs that the server serves. They are not dependencies: installed whole, clerk-js
 * drags in hundreds of megabytes of wallet packages, and only its bundles are wanted. The tarballs come through npm
 * and are compared with the hashes that stand in the repository.
 */
for (const [name, { version, integrity }] of Object.entries(sdkAssets)) {
  const target = sdkAssetsDir(name)
  if (existsSync(target)) continue
  const temporary = mkdtempSync(join(tmpdir(), 'usher-sdk-'))
  try {
    const packed = Bun.spawnSync(['npm', 'pack', '--silent', `${name}@${version}`], { cwd: temporary, stderr: 'pipe' })
    const file = packed.stdout.toString().trim().split('\n').at(-1) ?? ''
    if (packed.exitCode !== 0 || !file) throw new Error(`npm pack ${name}@${version} failed:\n${packed.stderr}`)
    const tarball = readFileSync(join(temporary, file))
    const found = `sha512-${createHash('sha512').update(tarball).digest('base64')}`
    if (found !== integrity) throw new Error(`${name}@${version} is not what it should be: ${found}`)
    const files = await new Bun.Archive(tarball).files()
    const unpacked = join(temporary, 'dist')
    for (const [path, content] of files) {
      // Entry points and their chunks for browsers, and nothing else.
      const [, bundle] =
        path.match(/^package\/dist\/((?:clerk|ui)(?:\.shared)?\.browser\.js|[^/]+_(?:clerk\.browser|ui)_[^/]+\.js)$/) ??
        []
      if (bundle) await Bun.write(join(unpacked, bundle), content)
    }
    mkdirSync(join(target, '..'), { recursive: true })
    rmSync(target, { recursive: true, force: true })
    // Copied beside and moved into place: what is interrupted half-way is not taken for complete.
    const beside = `${target}.${process.pid}`
    await Bun.$`cp -r ${unpacked} ${beside}`.quiet()
    renameSync(beside, target)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}
