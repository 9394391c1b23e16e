import type { Tenant } from '@/access/current-tenant'
import { TenantName } from '@/app/tasks/tenant-name'
import { LiveRoom } from '@/live/live-room'
import { SharedNote } from '@/live/shared-note'
import { TaskList } from './task-list'
import { tasksOf } from './tasks-of'

/** The page of one tenant: its tasks and its note, or why they are not shown. */
export async function Workspace({ tenant }: { tenant: Tenant }) {
  if (!tenant.canRead) {
    return (
      <section className="card notice" data-testid="no-access">
        <h1>You may not see these tasks</h1>
        <p>
          Your role here ({tenant.role}) lacks the permission <code>org:tasks:read</code>. Ask an administrator for
          another role, or switch to your personal account above.
        </p>
        <p className="quiet">
          Is this your own server, and does nobody have the permission? <code>npm run setup-roles</code> creates it.
        </p>
      </section>
    )
  }

  const tasks = await tasksOf(tenant).list()
  const isOrganization = tenant.kind === 'organization'
  return (
    // Another tenant is another page: nothing of the one before may be left on it.
    <LiveRoom
      key={tenant.id}
      documentId={`${tenant.id}/note`}
      organizationId={isOrganization ? tenant.id : null}
      access={tenant.canWrite ? 'write' : 'read'}
    >
      <div className="page" data-testid="workspace" data-tenant={tenant.id} data-kind={tenant.kind}>
        <TenantName kind={tenant.kind} />
        <TaskList
          title={isOrganization ? 'Tasks' : 'My tasks'}
          tasks={tasks.map(({ id, title, done }) => ({ id, title, done }))}
        />
        <SharedNote
          title={isOrganization ? 'Shared note' : 'My note'}
          hint={isOrganization ? 'Everybody here writes in it at once' : 'The same on all your devices'}
        />
      </div>
    </LiveRoom>
  )
}
