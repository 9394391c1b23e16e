'use client'

import { useOrganization } from '@clerk/nextjs'

export function TenantName({ kind }: { kind: 'organization' | 'personal' }) {
  const { organization, membership } = useOrganization()
  return (
    <div className="tenant">
      <h1 data-testid="tenant-name">{kind === 'personal' ? 'Personal' : (organization?.name ?? '…')}</h1>
      {kind === 'organization' && membership && <span className="badge">{membership.roleName}</span>}
    </div>
  )
}
