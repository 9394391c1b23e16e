import {
  activeOrganizationOf,
  type SessionRecord,
  sessionStatusAt,
  sessionTasksOf,
} from '../../domains/sessions/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { describeDevice } from '../../kernel/describe-device.ts'
import { presentPublicUserData, presentUser } from './user.ts'

export type SessionJson = ReturnType<typeof presentSession>

type Options = {
  /** A fresh session token, so that the SDK need not ask for one. */
  token?: string | undefined
  /** With the whole user: the browser SDK reads it from here and never asks again. */
  user?: boolean
  /** With the device and the address that it was begun from. */
  activity?: boolean
}

/** A session as both faces show it. */
export function presentSession(ctx: Ctx, session: SessionRecord, { token, user, activity }: Options = {}) {
  const now = ctx.now()
  const status = sessionStatusAt(session, now)
  const tasks = status === 'active' ? sessionTasksOf(ctx.instance, session) : []
  const minutes = (then: Date | null) =>
    then ? Math.max(0, Math.floor((now.getTime() - then.getTime()) / 60_000)) : -1
  return {
    object: 'session' as const,
    id: session.id,
    client_id: session.clientId,
    user_id: session.userId,
    status: tasks.length > 0 ? ('pending' as const) : status,
    tasks: tasks.length > 0 ? tasks : null,
    actor: session.actor,
    last_active_organization_id: activeOrganizationOf(session),
    factor_verification_age: [minutes(session.firstFactorAt), minutes(session.secondFactorAt)],
    public_user_data: presentPublicUserData(session.user),
    ...(user && { user: presentUser(ctx, session.user, session.memberships) }),
    ...(activity && { latest_activity: presentActivity(session) }),
    last_active_token: token ? { object: 'token' as const, jwt: token } : null,
    last_active_at: session.lastActiveAt.getTime(),
    expire_at: session.expireAt.getTime(),
    abandon_at: session.abandonAt.getTime(),
    created_at: session.createdAt.getTime(),
    updated_at: session.updatedAt.getTime(),
  }
}

/** Where a session came from. Places would need a database of addresses, which is not there. */
function presentActivity(session: SessionRecord) {
  const { browserName, browserVersion, deviceType, isMobile } = describeDevice(session.userAgent)
  return {
    object: 'session_activity' as const,
    id: session.id,
    device_type: deviceType,
    is_mobile: isMobile,
    browser_name: browserName,
    browser_version: browserVersion,
    ip_address: session.ipAddress,
    city: null,
    country: null,
  }
}
