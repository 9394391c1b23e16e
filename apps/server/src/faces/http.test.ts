import { expect, test } from 'bun:test'
import { transaction } from '../database/index.ts'
import { findPassword, setPassword } from '../domains/credentials/index.ts'
import { createSession, watchSessions } from '../domains/sessions/index.ts'
import { createUser, deleteUser } from '../domains/users/index.ts'
import { newId } from '../kernel/ids.ts'
import { testInstance } from '../testing/server.ts'
import { toUsherError } from './http.ts'

test('O17 whoever is deleted while they sign in is a conflict, and no fault of the server', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const emailAddresses = [{ emailAddress: 'ada@example.com', verifiedBy: 'email_code' as const }]
  const user = await createUser(ctx, { emailAddresses })
  await setPassword(ctx, { userId: user.id, password: 'correct horse battery' })
  const stored = await transaction(ctx, (tx) => findPassword(tx, user.id))
  await deleteUser(ctx, user.id)
  using watch = watchSessions(ctx)
  const seen = { user, passwordHash: stored?.hash ?? '', watch }
  const input = { clientId: newId('client'), isNew: true, userId: user.id, strategy: 'password', seen }
  const thrown = await transaction(ctx, (tx) => createSession(tx, { ...input, carrier: 'cookie' })).catch((e) => e)
  const { code, status } = toUsherError(thrown, ctx.log)
  expect({ code, status }).toEqual({ code: 'conflict', status: 409 })
})
