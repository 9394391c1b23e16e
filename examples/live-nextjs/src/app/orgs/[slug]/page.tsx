import { auth } from '@clerk/nextjs/server'
import Link from 'next/link'
import { LiveRoom } from '@/live/live-room'

/** An organization by its address. Before it is drawn, the proxy has made that organization the active one. */
export default async function OrganizationPage({ params }: { params: Promise<{ slug: string }> }) {
  const { slug } = await params
  const { userId, orgId, orgSlug, has, redirectToSignIn } = await auth()
  if (!userId) return redirectToSignIn()
  if (orgId && orgSlug === slug && has({ permission: 'org:chat:read' }))
    return (
      <LiveRoom key={orgId} organizationId={orgId} userId={userId} canWrite={has({ permission: 'org:chat:write' })} />
    )
  // One that does not exist and one of others look the same.
  return (
    <section className="card notice" data-testid="no-organization">
      <h1>There is nothing here for you</h1>
      <p>
        No organization of yours has the address <code>{slug}</code>, or your role may not read its chat (
        <code>npm run setup-roles</code> makes the permissions). Here are <Link href="/">yours</Link>.
      </p>
    </section>
  )
}
