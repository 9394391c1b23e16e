import type { MiddlewareHandler } from 'hono'
import { type SessionTask, sessionTasksOf } from '../../domains/sessions/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { FrontendEnv } from './env.ts'

/**
 * What stays closed to a session with tasks left; whoever has only an organization to choose may make one or join one. What
 * one's own lists say is shown with the account anyway.
 */
const closed: { path: RegExp; openFor: SessionTask['key'][]; readable?: boolean }[] = [
  { path: /\/v1\/sync(\/|$)/, openFor: [] },
  { path: /\/v1\/api_keys(\/|$)/, openFor: [] },
  { path: /\/v1\/organizations(\/|$)/, openFor: ['choose-organization'] },
  { path: /\/v1\/me\/organization_/, openFor: ['choose-organization'], readable: true },
]

/**
 * Keeps a session out of everything but its own account until what the instance asks of it is done: a second factor
 * that must be set up would else be one that can be done without.
 *
 * @throws {UsherError} `forbidden`
 */
export const guardTasks: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  const { session } = c.get('frontend')
  const rule = closed.find(({ path }) => path.test(c.req.path))
  if (session && rule && !(rule.readable && c.req.method === 'GET')) {
    const left = sessionTasksOf(c.get('instance'), session).filter(({ key }) => !rule.openFor.includes(key))
    if (left.length > 0)
      throw new UsherError('forbidden', 'Finish signing in first.', { meta: { tasks: left.map(({ key }) => key) } })
  }
  await next()
}
