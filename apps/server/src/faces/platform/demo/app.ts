import { openWorkspace, type Workspace } from './workspace.ts'

/** As much of the browser SDK as this page uses. */
type Membership = { role: string; roleName?: string; permissions: string[] }
type Clerk = {
  load: (options: object) => Promise<void>
  user: {
    id: string
    fullName: string | null
    primaryEmailAddress: { emailAddress: string } | null
    organizationMemberships: (Membership & { organization: { id: string } })[]
    reload: () => Promise<void>
  } | null
  organization: { id: string; name: string } | null
  session: {
    id: string
    status: string
    getToken: (options?: object) => Promise<string | null>
    reload: () => Promise<void>
  } | null
  setActive: (options: object) => Promise<void>
  addListener: (listener: () => void) => void
  mountSignIn: (node: Element, options: object) => void
  unmountSignIn: (node: Element) => void
  mountSignUp: (node: Element, options: object) => void
  unmountSignUp: (node: Element) => void
  mountWaitlist: (node: Element, options: object) => void
  mountUserButton: (node: Element, options?: object) => void
  mountOrganizationSwitcher: (node: Element, options?: object) => void
}
declare global {
  interface Window {
    Clerk: Clerk
    __internal_ClerkUICtor: unknown
  }
}

const element = <T extends Element = HTMLElement>(selector: string): T => {
  const found = document.querySelector<T>(selector)
  if (!found) throw new Error(`the page has no ${selector}`)
  return found
}
const root = element('#demo')
const show = (selector: string, visible: boolean) => {
  element(selector).hidden = !visible
}

let workspace: Workspace | undefined
let shownAuth: 'none' | 'in' | 'out' = 'none'

await start()

async function start() {
  await loadScript(root.dataset.clerkUi ?? '')
  await loadScript(root.dataset.clerkJs ?? '', {
    'data-clerk-publishable-key': root.dataset.publishableKey ?? '',
    'data-clerk-proxy-url': location.origin,
  })
  const { Clerk } = window
  await Clerk.load({
    ui: { ClerkUI: window.__internal_ClerkUICtor },
    signInUrl: '/demo',
    signUpUrl: '/demo?sign-up=1',
    waitlistUrl: '/demo?waitlist=1',
    afterSignOutUrl: '/demo',
    telemetry: false,
  })
  show('#loading', false)
  Clerk.addListener(render)
  addEventListener('hashchange', render)
  render()
  // The server turns sockets read-only or writable by itself; this is for the controls on the page to follow.
  setInterval(() => document.visibilityState === 'visible' && refresh(), 600)
}

function loadScript(src: string, attributes: Record<string, string> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    for (const [name, value] of Object.entries(attributes)) script.setAttribute(name, value)
    script.onload = () => resolve()
    script.onerror = () => reject(new Error(`${src} could not be loaded`))
    script.src = src
    document.head.append(script)
  })
}

async function refresh() {
  await window.Clerk.user?.reload().catch(() => {})
}

function render() {
  const { user, organization, session } = window.Clerk
  // With a task left, such as setting up a second factor, the component that signed in goes on with it, and says when
  // it is done: the task's last page shows backup codes.
  const onTask = shownAuth === 'out' && location.hash.startsWith('#/tasks/')
  const signedIn = !!user && session?.status !== 'pending' && !onTask
  const state = signedIn ? 'in' : 'out'
  if (state !== shownAuth) {
    shownAuth = state
    show('#signed-in', state === 'in')
    show('#signed-out', state === 'out')
    if (state === 'in') mountSignedIn()
    else mountSignedOut()
  }
  if (!signedIn) return
  const key = organization ? `${organization.id}` : user.id
  const membership = user.organizationMemberships.find((m) => m.organization.id === organization?.id)
  element('[data-testid=workspace-name]').textContent = organization?.name ?? 'Personal account'
  element('[data-testid=role]').textContent = organization
    ? (membership?.roleName ?? membership?.role ?? 'No member')
    : 'Personal'
  if (workspace?.owner === key) {
    // What the token says is the server's to decide; a new permission needs a new token.
    workspace.setPermissions(membership?.permissions.join() ?? '')
    return
  }
  workspace?.close()
  show('#ended', false)
  show('#work', true)
  workspace = openWorkspace({
    owner: key,
    permissions: membership?.permissions.join() ?? '',
    name: user.fullName || user.primaryEmailAddress?.emailAddress || 'Somebody',
    getGrant,
    onEnded: ended,
  })
}

/** A fresh token before every connection: it lives minutes and names one document. */
async function getGrant(docId: string) {
  const jwt = await window.Clerk.session?.getToken()
  const response = await fetch('/v1/sync/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${jwt}` },
    body: JSON.stringify({ doc_id: docId }),
  })
  if (response.ok) return response.json()
  throw Object.assign(new Error('refused'), { status: response.status })
}

async function ended(reason: string) {
  show('#work', false)
  show('#ended', true)
  element('#ended').textContent = reason
  await refresh()
  const { user, organization, setActive } = window.Clerk
  if (organization && !user?.organizationMemberships.some((m) => m.organization.id === organization.id))
    await setActive({ organization: null })
}

function mountSignedIn() {
  const node = element('#sign-in')
  window.Clerk.unmountSignIn(node)
  window.Clerk.unmountSignUp(node)
  window.Clerk.mountUserButton(element('#user-button'))
  window.Clerk.mountOrganizationSwitcher(element('#organization-switcher'), {
    afterCreateOrganizationUrl: '/demo',
    afterLeaveOrganizationUrl: '/demo',
    afterSelectOrganizationUrl: '/demo',
    afterSelectPersonalUrl: '/demo',
  })
}

function mountSignedOut() {
  workspace?.close()
  workspace = undefined
  const query = new URLSearchParams(location.search)
  const signUp = query.has('sign-up') || query.get('__clerk_status') === 'sign_up'
  const options = {
    routing: 'hash',
    forceRedirectUrl: '/demo',
    signUpForceRedirectUrl: '/demo',
    signInForceRedirectUrl: '/demo',
  }
  const ticket = query.get('__clerk_ticket')
  const keep = ticket ? `&__clerk_ticket=${encodeURIComponent(ticket)}` : ''
  if (query.has('waitlist')) window.Clerk.mountWaitlist(element('#sign-in'), { signInUrl: '/demo' })
  else if (signUp) window.Clerk.mountSignUp(element('#sign-in'), { ...options, signInUrl: '/demo' })
  else window.Clerk.mountSignIn(element('#sign-in'), { ...options, signUpUrl: `/demo?sign-up=1${keep}` })
}
