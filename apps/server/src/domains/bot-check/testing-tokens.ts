import { createHmac } from 'node:crypto'
import type { Ctx } from '../../kernel/ctx.ts'
import { equalSecrets, purposeKey } from '../../kernel/secrets.ts'

export type TestingToken = { token: string; expiresAt: Date }

export const testingTokenTtlMs = 3600_000

/**
 * Makes a token by which automated tests pass for people: no bot check, no limit by address. It carries no other right,
 * so that it is signed and not stored; it says when it ends, and holds in this instance alone.
 */
export function createTestingToken(ctx: Ctx): TestingToken {
  const { id: keyId } = ctx.database.keyring.keys[0]
  const seconds = Math.floor((ctx.now().getTime() + testingTokenTtlMs) / 1000)
  return { token: `tt_${seconds}.${keyId}.${sign(ctx, seconds, keyId)}`, expiresAt: new Date(seconds * 1000) }
}

/** Whether a value is a token of {@link createTestingToken}, for this instance and not over. Reads no row. */
export function isTestingToken(ctx: Ctx, value: string): boolean {
  const [, seconds = '', keyId = '', signature = ''] = value.match(/^tt_(\d{10})\.([a-z0-9]{1,16})\.([\w-]{43})$/) ?? []
  const expected = sign(ctx, Number(seconds), keyId)
  if (expected === undefined || !equalSecrets(signature, expected)) return false
  return Number(seconds) * 1000 > ctx.now().getTime()
}

/** @returns undefined for a key that the keyring does not have (any more) */
function sign(ctx: Ctx, seconds: number, keyId: string): string | undefined {
  const key = purposeKey(ctx.database.keyring, 'testing_token', keyId)
  return key && createHmac('sha256', key).update(`${ctx.instance.id}.${seconds}`).digest('base64url')
}
