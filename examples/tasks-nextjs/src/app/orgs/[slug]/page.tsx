import { auth } from '@clerk/nextjs/server'
import Link from 'next/link'
import { currentTenant } from '@/access/current-tenant'
import { Workspace } from '@/tasks/workspace'

/** An organization by its address. Before it is drawn, the proxy has made that organization the active one. */
export default async function OrganizationPage({ params }: { params: Promise<{ slug: string }> }) {
  const { slug } = await params
  const { orgSlug, redirectToSignIn } = await auth()
  const tenant = await currentTenant()
  if (!tenant) return redirectToSignIn()
  if (tenant.kind === 'organization' && orgSlug === slug) return <Workspace tenant={tenant} />
  // One that does not exist and one of others look the same.
  return (
    <section className="card notice" data-testid="no-organization">
      <h1>There is nothing here for you</h1>
      <p>
        No organization of yours has the address <code>{slug}</code>. Here are <Link href="/organizations">yours</Link>.
      </p>
    </section>
  )
}
