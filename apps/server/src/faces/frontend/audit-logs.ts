import { type Context, Hono } from 'hono'
import { sendAuditLog, showAuditLog } from '../audit-log.ts'
import type { Env } from '../http.ts'
import { type FrontendEnv, reply, requireSession } from './context.ts'

/** `/v1/organizations/:id/audit_logs`: for members with `org:sys_audit_log:read`. */
export function auditLogRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  const plain = (c: Context<FrontendEnv>) => {
    requireSession(c)
    return c as unknown as Context<Env>
  }
  routes.get('/organizations/:id/audit_logs', async (c) => reply(c, await showAuditLog(plain(c), c.req.param('id'))))
  routes.get('/organizations/:id/audit_logs/export', (c) => sendAuditLog(plain(c), c.req.param('id')))
  return routes
}
