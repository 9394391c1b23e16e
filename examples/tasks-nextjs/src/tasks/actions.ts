'use server'

import { revalidatePath } from 'next/cache'
import { z } from 'zod'
import { currentTenant, type Tenant } from '@/access/current-tenant'
import { tasksOf } from './tasks-of'

export type ActionResult = { ok: true } | { ok: false; error: string }

const AddTask = z.object({
  title: z.string().trim().min(1, 'Say what is to be done.').max(200, 'Keep it under 200 characters.'),
})
const SetTaskDone = z.object({ id: z.uuid(), done: z.boolean() })
const RemoveTask = z.object({ id: z.uuid() })

export async function addTask(input: z.input<typeof AddTask>): Promise<ActionResult> {
  return write(AddTask, input, (tenant, { title }) => tasksOf(tenant).add(title))
}

export async function setTaskDone(input: z.input<typeof SetTaskDone>): Promise<ActionResult> {
  return write(SetTaskDone, input, (tenant, { id, done }) => tasksOf(tenant).setDone(id, done))
}

export async function removeTask(input: z.input<typeof RemoveTask>): Promise<ActionResult> {
  return write(RemoveTask, input, (tenant, { id }) => tasksOf(tenant).remove(id))
}

/**
 * What every change goes through. A server action is a public endpoint: that its button was disabled proves
 * nothing, nor do the types of its arguments: the permission is asked here, and the input parsed.
 */
async function write<T>(
  Input: z.ZodType<T>,
  untrusted: unknown,
  change: (tenant: Tenant, input: T) => Promise<void>,
): Promise<ActionResult> {
  const tenant = await currentTenant()
  if (!tenant) return { ok: false, error: 'You are signed out. Sign in again to go on.' }
  if (!tenant.canWrite) return { ok: false, error: 'Your role may read these tasks, but not change them.' }
  const input = Input.safeParse(untrusted)
  if (!input.success) return { ok: false, error: input.error.issues[0]?.message ?? 'That did not work.' }
  await change(tenant, input.data)
  revalidatePath('/tasks')
  return { ok: true }
}
