import { Hono } from 'hono'
import { sendAuditLog, showAuditLog } from '../audit-log.ts'
import { type Env, jsonResponse } from '../http.ts'

/** `/v1/audit_logs` is the instance's own, `/v1/organizations/:id/audit_logs` an organization's, also a deleted one's. */
export function auditLogRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/audit_logs', async (c) => jsonResponse(await showAuditLog(c, undefined)))
  routes.get('/audit_logs/export', (c) => sendAuditLog(c, undefined))
  routes.get('/organizations/:id/audit_logs', async (c) => jsonResponse(await showAuditLog(c, c.req.param('id'))))
  routes.get('/organizations/:id/audit_logs/export', (c) => sendAuditLog(c, c.req.param('id')))
  return routes
}
