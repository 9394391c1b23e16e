import type { Database } from '../database/index.ts'
import type { Instance } from '../domains/instances/index.ts'
import type { Dns } from './dns.ts'
import type { Egress, EgressGuard } from './egress.ts'
import type { Log } from './log.ts'

/** Who asks. A face authenticates the caller once a request; nothing below reads a header. */
export type Actor =
  | { type: 'anonymous' }
  /** A person in a browser, through one session of one client. */
  | {
      type: 'user'
      userId: string
      sessionId: string
      clientId: string
      organizationId: string | null
      /** Who acts for the person, if somebody does. It stands in every event that comes of it. */
      impersonatorId?: string
    }
  /** The application's own server, with the instance's secret key: it may do everything in its instance. */
  | { type: 'backend' }
  /** A program of the application's, with its own secret key: it may make tokens and look at those it is shown. */
  | { type: 'machine'; machineId: string }
  | { type: 'system'; job: string }

/**
 * Who asks, where, and with what. A face builds it once a request; nothing below reads a global.
 * The clock is part of it, so that expiry is tested without waiting.
 *
 * There is no database handle in here that could be queried directly: rows are reached only inside `transaction`,
 * which sets the instance that row-level security checks.
 */
export type Ctx = {
  instance: Instance
  actor: Actor
  /** The request that all of this is for, if there is one: where it came from stands in every event. */
  request?: { ip: string; userAgent: string | undefined }
  database: Database
  now: () => Date
  log: Log
  /** Where browsers reach the instance; no trailing slash. From configuration alone. */
  publicUrl: string
  /** Fetches what a person or an operator named. */
  egress: Egress
  /** Decides where `egress` may go: for URLs that are kept and fetched later. */
  egressGuard: EgressGuard
  dns: Dns
}
