import { join } from 'node:path'
import assets from './sdk-assets.json' with { type: 'json' }

/** The SDK packages whose browser files are served, with the versions and hashes that are pinned. */
export const sdkAssets: Record<string, { version: string; integrity: string }> = assets

const base = join(import.meta.dir, '../../../../node_modules/.usher-sdk')

/** Where the browser files of a package lie; made by `scripts/fetch-sdk-assets.ts`. */
export function sdkAssetsDir(name: string): string {
  const version = sdkAssets[name]?.version ?? 'unknown'
  return join(base, `${name.replace('/', '+')}@${version}`)
}
