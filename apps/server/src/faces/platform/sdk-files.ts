import { join } from 'node:path'
import { type Context, Hono } from 'hono'
import { sdkAssets, sdkAssetsDir } from '../../assets/sdk-assets.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, resolveInstance } from '../http.ts'
import { providerIcon } from './icons.ts'

const year = 365 * 24 * 3600

/** Where the components look for the icons of providers they know. Pages of ours ask no other company for anything. */
const iconHost = 'https://img.clerk.com/static/'
/** Bundles with our icons in them, by file and public URL. There are few of both. */
const rewritten = new Map<string, string>()

/** The bundle with our own icons in the place of the vendor's; everything else in it stays as it is. */
async function withOwnIcons(file: Bun.BunFile, publicUrl: string): Promise<string | Bun.BunFile> {
  const key = `${file.name} ${publicUrl}`
  const known = rewritten.get(key)
  if (known !== undefined) return known === '' ? file : known
  const text = await file.text()
  const changed = text.includes(iconHost) ? text.replaceAll(iconHost, `${publicUrl}/static/`) : ''
  if (rewritten.size > 500) rewritten.clear()
  rewritten.set(key, changed)
  return changed === '' ? file : changed
}

/** As browsers reach this server: through an application's proxy, which shows the secret key, or directly. */
async function publicUrlFor(c: Context<Env>): Promise<string> {
  try {
    await resolveInstance(c, async () => {})
    return c.get('publicUrl')
  } catch {
    return c.get('runtime').publicUrl
  }
}

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
    const body = packageName === '@clerk/ui' ? await withOwnIcons(file, await publicUrlFor(c)) : file
    return new Response(body, {
      headers: {
        'content-type': 'text/javascript; charset=utf-8',
        'access-control-allow-origin': '*',
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
        'cache-control': exact ? `public, max-age=${year}, immutable` : 'public, max-age=300',
      },
    })
  })
  // The components paint some icons through masks, which are fetched across origins.
  routes.get('/static/:file', (c) => {
    const name = c.req.param('file').match(/^([a-z0-9_]{1,40})\.(svg|jpeg|png)$/)?.[1]
    if (name === undefined) throw new UsherError('resource_not_found', 'There is nothing at this address.')
    return new Response(providerIcon(name), {
      headers: {
        'content-type': 'image/svg+xml',
        'access-control-allow-origin': '*',
        'cross-origin-resource-policy': 'cross-origin',
        'content-security-policy': "default-src 'none'",
        'x-content-type-options': 'nosniff',
        'cache-control': 'public, max-age=86400',
      },
    })
  })
  return routes
}
