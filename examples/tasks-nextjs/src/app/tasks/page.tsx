import { auth } from '@clerk/nextjs/server'
import { currentTenant } from '@/access/current-tenant'
import { Workspace } from '@/tasks/workspace'

export default async function TasksPage() {
  const tenant = await currentTenant()
  if (!tenant) return (await auth()).redirectToSignIn()
  return <Workspace tenant={tenant} />
}
