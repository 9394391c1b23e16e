import { OrganizationProfile } from '@clerk/nextjs'

export default function OrganizationProfilePage() {
  return (
    <div className="centered">
      <OrganizationProfile path="/organization-profile" afterLeaveOrganizationUrl="/tasks" />
    </div>
  )
}
