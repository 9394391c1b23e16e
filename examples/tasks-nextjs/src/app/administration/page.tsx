import { auth } from '@clerk/nextjs/server'
import { currentTenant } from '@/access/current-tenant'
import { tasksOf } from '@/tasks/tasks-of'

/** Who may see this page, and where everybody else is sent. */
const administrators = { role: 'org:admin', unauthenticatedUrl: '/sign-in', unauthorizedUrl: '/tasks' }

export default async function AdministrationPage() {
  await auth.protect(administrators)
  const tenant = await currentTenant()
  const tasks = tenant ? await tasksOf(tenant).list() : []
  return (
    <section className="card notice" data-testid="administration">
      <h1>Administration</h1>
      <p>
        {tasks.length} tasks, {tasks.filter((task) => task.done).length} of them done.
      </p>
    </section>
  )
}
