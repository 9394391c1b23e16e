import { Hono } from 'hono'
import { type Env, resolveInstance } from '../http.ts'
import { demoRoutes } from './demo/page.ts'
import { demoProviderRoutes } from './demo-provider.ts'
import { docsRoutes } from './docs.ts'
import { inboxRoutes } from './inbox.ts'
import { landingPage } from './landing.ts'
import { icon } from './page.ts'
import { popupCallbackPage } from './popup-callback.ts'
import { referenceRoutes } from './reference.ts'
import { sdkFileRoutes } from './sdk-files.ts'
import { templateRoutes } from './templates.ts'
import { webhookPortalRoutes } from './webhook-portal/index.ts'

/** The pages that Usher itself shows: landing page, development inbox, demo, and the SDK files it serves. */
export function platformFace(): Hono<Env> {
  const face = new Hono<Env>()
  face.get('/', resolveInstance, landingPage)
  // Browsers ask for it where an answer is no page.
  face.get('/favicon.ico', () => {
    const headers = { 'content-type': 'image/svg+xml', 'cache-control': 'public, max-age=86400' }
    return new Response(icon, { headers })
  })
  face.route('/', inboxRoutes())
  face.route('/', templateRoutes())
  face.route('/', webhookPortalRoutes())
  face.route('/', docsRoutes())
  face.route('/', referenceRoutes())
  face.route('/', demoRoutes())
  face.route('/', demoProviderRoutes())
  face.get('/popup-callback', resolveInstance, popupCallbackPage)
  face.route('/', sdkFileRoutes())
  return face
}
