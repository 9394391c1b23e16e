import { z } from 'zod'
import type { ChannelType } from '../instances/index.ts'

const compiled = new WeakMap<object, z.ZodType>()

/**
 * Checks a message by what its channel's type declares. Data is judged and passed on as it is: nothing is added to it or
 * taken away.
 *
 * @returns what is wrong, in words for the sender
 */
export function checkEvent({ events }: Pick<ChannelType, 'events'>, name: string, data: unknown): string | undefined {
  if (!events) return undefined
  const schema = Object.hasOwn(events, name) ? events[name] : undefined
  if (!schema) return `this channel knows no event ${name}`
  let check = compiled.get(schema)
  if (!check) {
    check = z.fromJSONSchema(schema)
    compiled.set(schema, check)
  }
  const result = check.safeParse(data)
  if (result.success) return undefined
  const [issue] = result.error.issues
  const path = issue?.path.join('.') ?? ''
  return `${path || 'data'}: ${issue?.message ?? 'invalid'}`
}
