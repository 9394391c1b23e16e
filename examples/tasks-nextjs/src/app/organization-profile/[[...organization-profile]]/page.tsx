import { OrganizationProfile } from '@clerk/nextjs'
import { auth } from '@clerk/nextjs/server'

export default async function OrganizationProfilePage() {
  await auth.protect()
  return (
    <div className="centered">
      <OrganizationProfile path="/organization-profile" afterLeaveOrganizationUrl="/tasks" />
    </div>
  )
}
