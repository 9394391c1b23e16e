'use server'

import { revalidatePath } from 'next/cache'
import { z } from 'zod'
import { currentTenant, type Tenant } from '@/access/current-tenant'
import { tasksOf } from './tasks-of'

export type ActionResult = { ok: true } | { ok: false; error: string }

const AddTask = z.object({
  title: z.string().trim().min(1, 'Say what is to be done.').max(200, 'Keep it under 200 characters.'),
})
const SetDone = z.object({ id: z.uuid(), done: z.enum(['true', 'false']).transform((v) => v === 'true') })
const RemoveTask = z.object({ id: z.uuid() })

export async function addTask(form: FormData): Promise<ActionResult> {
  return write(AddTask, form, (tenant, { title }) => tasksOf(tenant).add(title))
}

export async function setTaskDone(form: FormData): Promise<ActionResult> {
  return write(SetDone, form, (tenant, { id, done }) => tasksOf(tenant).setDone(id, done))
}

export async function removeTask(form: FormData): Promise<ActionResult> {
  return write(RemoveTask, form, (tenant, { id }) => tasksOf(tenant).remove(id))
}

/**
 * What every change goes through. A server action is a public endpoint: that its button was disabled proves
 * nothing, so the permission is asked here again.
 */
async function write<T>(
  Input: z.ZodType<T>,
  form: FormData,
  change: (tenant: Tenant, input: T) => Promise<void>,
): Promise<ActionResult> {
  const tenant = await currentTenant()
  if (!tenant) return { ok: false, error: 'You are signed out. Sign in again to go on.' }
  if (!tenant.canWrite) return { ok: false, error: 'Your role may read these tasks, but not change them.' }
  const input = Input.safeParse(Object.fromEntries(form))
  if (!input.success) return { ok: false, error: input.error.issues[0]?.message ?? 'That did not work.' }
  await change(tenant, input.data)
  revalidatePath('/tasks')
  return { ok: true }
}
