import { backendFace } from '../backend/index.ts'
import { frontendFace } from '../frontend/index.ts'
import { sdkFileRoutes } from '../platform/sdk-files.ts'
import { syncBackendRoutes, syncFrontendRoutes } from '../sync/token-routes.ts'
import { wellknownFace } from '../wellknown/index.ts'
import type { Operation } from './operations.ts'

export type Route = {
  face: Operation['face']
  method: string
  /** As Hono has it, with `:id`. */
  pattern: string
  /** With parameters in braces. */
  path: string
}

/** Every route of the two faces, read off the routers themselves. */
export function listRoutes(): Route[] {
  const faces = [
    { face: 'frontend', routes: wellknownFace().routes },
    { face: 'frontend', routes: sdkFileRoutes().routes },
    { face: 'frontend', routes: frontendFace().route('/v1', syncFrontendRoutes()).routes },
    { face: 'backend', routes: backendFace().route('/v1', syncBackendRoutes()).routes },
  ] as const
  const found = new Map<string, Route>()
  // What applies to every method is middleware.
  for (const { face, routes } of faces)
    for (const { method, path: pattern } of routes)
      if (method !== 'ALL')
        found.set(`${face} ${method} ${pattern}`, { face, method, pattern, path: withBraces(pattern) })
  return [...found.values()]
}

/** `/users/:id{[a-z]+}` as `/users/{id}`; what SDKs call at the root, and is served under `/v1` too, as they call it. */
const withBraces = (pattern: string) =>
  pattern.replace(/:([A-Za-z_]+)(?:\{[^/]*\})?\??/g, '{$1}').replace(/^\/v1(?=\/(api_keys|m2m_tokens)(\/|$))/, '')

/** Two paths are the same operation when they differ in the names of their parameters only. */
export const keyOf = ({ face, method, path }: { face: string; method: string; path: string }) =>
  `${face} ${method} ${path.replace(/\{[^}]*\}/g, '{}')}`
