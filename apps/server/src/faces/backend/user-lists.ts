import { Hono } from 'hono'
import { countUsers, listUsers, type UserFilter } from '../../domains/users/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentUserToBackend } from '../presenters/user.ts'
import { instantOf, repeated } from './input.ts'

/** Lists and counts of users by the same filters: the SDK asks for both at once. */
export function userListRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/users', async (c) => {
    const users = await listUsers(c.var.ctx, {
      ...filterOf(c),
      ...Pagination.parse(c.req.query()),
      ...(c.req.query('order_by') && { orderBy: c.req.query('order_by') as string }),
      ...(c.req.query('starting_after') && { startingAfter: c.req.query('starting_after') as string }),
    })
    return jsonResponse(users.map(presentUserToBackend))
  })
  routes.get('/users/count', async (c) =>
    jsonResponse({ object: 'total_count', total_count: await countUsers(c.var.ctx, filterOf(c)) }),
  )
  return routes
}

function filterOf(c: Parameters<typeof repeated>[0]): UserFilter {
  const banned = c.req.query('banned')
  const filter = {
    emailAddress: repeated(c, 'email_address'),
    phoneNumber: repeated(c, 'phone_number'),
    userId: repeated(c, 'user_id'),
    externalId: repeated(c, 'external_id'),
    username: repeated(c, 'username'),
    organizationId: repeated(c, 'organization_id'),
    query: c.req.query('query'),
    emailAddressQuery: c.req.query('email_address_query'),
    phoneNumberQuery: c.req.query('phone_number_query'),
    usernameQuery: c.req.query('username_query'),
    nameQuery: c.req.query('name_query'),
    provider: c.req.query('provider'),
    providerUserId: repeated(c, 'provider_user_id'),
    banned: banned === undefined ? undefined : banned === 'true',
    createdAtBefore: instantOf(c, 'created_at_before'),
    createdAtAfter: instantOf(c, 'created_at_after'),
    lastSignInAtBefore: instantOf(c, 'last_sign_in_at_before'),
    lastSignInAtAfter: instantOf(c, 'last_sign_in_at_after'),
    lastActiveAtBefore: instantOf(c, 'last_active_at_before'),
    lastActiveAtAfter: instantOf(c, 'last_active_at_after'),
    lastActiveAtSince: instantOf(c, 'last_active_at_since'),
  }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
}
