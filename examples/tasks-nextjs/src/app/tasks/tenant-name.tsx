'use client'

import { useOrganization, useSession } from '@clerk/nextjs'

export function TenantName({ kind }: { kind: 'organization' | 'personal' }) {
  const { session } = useSession()
  return (
    <div className="tenant">
      {kind === 'personal' ? <h1 data-testid="tenant-name">Personal</h1> : session && <OrganizationName />}
    </div>
  )
}

function OrganizationName() {
  const { organization, membership } = useOrganization()
  return (
    <>
      <h1 data-testid="tenant-name">{organization?.name ?? '…'}</h1>
      {membership && <span className="badge">{membership.roleName}</span>}
    </>
  )
}
