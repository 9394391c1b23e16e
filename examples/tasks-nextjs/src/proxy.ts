import { clerkMiddleware, createRouteMatcher } from '@clerk/nextjs/server'

const isPrivate = createRouteMatcher(['/tasks(.*)', '/user-profile(.*)', '/organization-profile(.*)'])

export default clerkMiddleware(
  async (auth, request) => {
    if (isPrivate(request)) await auth.protect()
  },
  // Browsers reach Usher under /__clerk of this origin: first-party cookies, no CORS.
  { frontendApiProxy: { enabled: true } },
)

export const config = {
  matcher: [
    // Everything but Next's own files and static files …
    '/((?!_next|[^?]*\\.(?:html?|css|js(?!on)|jpe?g|webp|png|gif|svg|ttf|woff2?|ico|csv|docx?|xlsx?|zip|webmanifest)).*)',
    '/(api|trpc)(.*)',
    // … except the SDK's own scripts, which end in .js and are served through the proxy.
    '/__clerk/:path*',
  ],
}
