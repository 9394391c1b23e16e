import { OrganizationList } from '@clerk/nextjs'
import { auth } from '@clerk/nextjs/server'

/** Whose work there is to choose from: one's own organizations, and those that one is invited to or may ask to join. */
export default async function OrganizationsPage() {
  await auth.protect()
  return (
    <div className="centered">
      <OrganizationList
        afterSelectPersonalUrl="/tasks"
        afterSelectOrganizationUrl="/orgs/:slug"
        afterCreateOrganizationUrl="/orgs/:slug"
      />
    </div>
  )
}
