import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

const home = join(import.meta.dir, '../../node_modules/.cache/usher-test-clusters')

/**
 * An empty database cluster that is the copy of one made before: `initdb` takes more than a second of a processor, and a
 * hundred tests need one. All have the same system identifier, so that none may stand for another database than before.
 *
 * @param kind what it is made with: program, version, options
 * @param make makes one in a directory that does not exist
 */
export async function copyCluster(kind: string, target: string, make: (directory: string) => void | Promise<void>) {
  const template = join(home, new Bun.CryptoHasher('sha256').update(kind).digest('hex').slice(0, 16))
  if (!existsSync(template)) {
    mkdirSync(home, { recursive: true })
    const fresh = `${template}-${process.pid}`
    rmSync(fresh, { recursive: true, force: true })
    await make(fresh)
    // Of two that make one at once the first one's stays.
    if (existsSync(template)) rmSync(fresh, { recursive: true })
    else renameSync(fresh, template)
  }
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  const { status, stderr } = spawnSync('cp', ['-Rp', template, target], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the cluster was not copied: ${stderr}`)
}
