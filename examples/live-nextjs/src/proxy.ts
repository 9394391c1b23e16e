import { clerkMiddleware } from '@clerk/nextjs/server'

// Reads the session of every request. What needs one asks for it where the data is: each page, action and route.
// Browsers reach Usher under /__clerk of this origin: first-party cookies, no CORS.
// An address of an organization makes that organization the active one, for its members.
export default clerkMiddleware({
  frontendApiProxy: { enabled: true },
  organizationSyncOptions: { organizationPatterns: ['/orgs/:slug', '/orgs/:slug/(.*)'] },
})

export const config = {
  matcher: [
    // Everything but Next's own files and static files …
    '/((?!_next|[^?]*\\.(?:html?|css|js(?!on)|jpe?g|webp|png|gif|svg|ttf|woff2?|ico|csv|docx?|xlsx?|zip|webmanifest)).*)',
    '/(api|trpc)(.*)',
    // … except the SDK's own scripts, which end in .js and are served through the proxy.
    '/__clerk/:path*',
  ],
}
