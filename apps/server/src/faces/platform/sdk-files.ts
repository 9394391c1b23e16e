import { join } from 'node:path'
import { Hono } from 'hono'
import { sdkAssets, sdkAssetsDir } from '../../assets/sdk-assets.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Env } from '../http.ts'

const year = 365 * 24 * 3600

/**
 * The browser SDKs, in the place of the vendor's CDN: `/npm/@clerk/clerk-js@6/dist/clerk.browser.js`. A page asks for
 * a major version, and the bundle then asks for its chunks by the exact one.
 */
export function sdkFileRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/npm/:scope/:package/dist/:file', async (c) => {
    const { scope, package: spec, file: name } = c.req.param()
    const [, base = '', wanted = ''] = spec.match(/^([a-z-]+)@([A-Za-z0-9.-]+)$/) ?? []
    const packageName = `${scope}/${base}`
    const known = Object.hasOwn(sdkAssets, packageName) ? sdkAssets[packageName] : undefined
    const serves =
      known && (wanted === known.version || known.version.startsWith(`${wanted}.`) || /^[a-z]+$/.test(wanted))
    // The name is one path segment of bundle characters: there is nothing to climb with.
    if (!known || !serves || !/^[A-Za-z0-9_.-]+\.js$/.test(name))
      throw new UsherError(
        'resource_not_found',
        `Served here: ${Object.entries(sdkAssets)
          .map(([n, a]) => `${n}@${a.version}`)
          .join(', ')}.`,
      )
    const file = Bun.file(join(sdkAssetsDir(packageName), name))
    if (!(await file.exists()))
      throw new UsherError(
        'resource_not_found',
        'This SDK file is not here. If none is, run: bun scripts/fetch-sdk-assets.ts',
      )
    const exact = wanted === known.version
    return new Response(file, {
      headers: {
        'content-type': 'text/javascript; charset=utf-8',
        'access-control-allow-origin': '*',
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
        'cache-control': exact ? `public, max-age=${year}, immutable` : 'public, max-age=300',
      },
    })
  })
  return routes
}
