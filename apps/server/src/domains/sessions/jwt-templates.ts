import { asc, count, eq } from 'drizzle-orm'
import { type Database, type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId, randomBase62 } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { seal, unseal } from '../../kernel/secrets.ts'
import { compileClaims, type RenderClaims } from '../../kernel/shortcodes.ts'
import { busOf, emit } from '../events/index.ts'
import { lookupFor } from './claims.ts'
import type { SessionState } from './session-state.ts'
import { activeOrganizationOf, isSignedIn, sessionTasksOf } from './session-status.ts'
import {
  type CustomKey,
  issuerOf,
  parseCustomKey,
  type SigningAlgorithm,
  signJwt,
  signWithCustomKey,
} from './sign-jwt.ts'
import { jwtTemplates } from './tables.ts'

type Row = typeof jwtTemplates.$inferSelect
/** A template as it may be shown: without its key. */
export type JwtTemplate = Omit<Row, 'sealedSigningKey'> & { customSigningKey: boolean }

export type JwtTemplateInput = {
  /** What applications ask for it by: letters, digits, `_` and `-`. */
  name: string
  claims: Record<string, unknown>
  /** Seconds, 30 to 315,360,000. Default: 60. */
  lifetime?: number | undefined
  /** Seconds by which `nbf` lies before `iat`, 0 to 300. Default: 5. */
  allowedClockSkew?: number | undefined
  /** With a key of the application's own; without it the instance's key signs, in RS256. */
  customSigningKey?: boolean | undefined
  signingAlgorithm?: string | undefined
  /** Shared secret, or private key in PEM. Left out in a change, the key stays. */
  signingKey?: string | undefined
}

/** Bytes of claims as they are saved, and of a token's claims as they are filled in. */
const maxTemplateBytes = 8192
const maxPayloadBytes = 16_384
const maxTemplates = 100

/** Says in the header that a token comes from a template: it is no session token. */
const templateClass = 'cl_B7d4PD222AAA'

/** @throws {UsherError} `form_param_value_invalid`, `form_param_max_length_exceeded` or `duplicate_record` */
export async function createJwtTemplate(ctx: Ctx | Tx, input: JwtTemplateInput): Promise<JwtTemplate> {
  return transaction(ctx, async (tx) => {
    await takeTurn(tx, 'jwt templates')
    const [existing] = await tx.db.select({ n: count() }).from(jwtTemplates)
    if ((existing?.n ?? 0) >= maxTemplates)
      throw new UsherError('form_param_value_invalid', `An instance has ${maxTemplates} templates at most.`)
    const now = tx.now()
    const id = newId('jwtTemplate')
    const row = { id, instanceId: tx.instance.id, ...valuesOf(tx, id, input), createdAt: now, updatedAt: now }
    return save(tx, 'jwtTemplate.created', () => tx.db.insert(jwtTemplates).values(row).returning())
  })
}

/** Replaces a template. @throws {UsherError} as {@link createJwtTemplate}, and `resource_not_found` */
export async function updateJwtTemplate(
  ctx: Ctx | Tx,
  { id, ...input }: JwtTemplateInput & { id: string },
): Promise<JwtTemplate> {
  return transaction(ctx, async (tx) => {
    const known = await getRow(tx, id)
    const values = valuesOf(tx, id, input, known)
    return save(tx, 'jwtTemplate.updated', () =>
      tx.db
        .update(jwtTemplates)
        .set({ ...values, updatedAt: tx.now() })
        .where(eq(jwtTemplates.id, id))
        .returning(),
    )
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function deleteJwtTemplate(ctx: Ctx | Tx, id: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    const [gone] = await tx.db.delete(jwtTemplates).where(eq(jwtTemplates.id, id)).returning({ id: jwtTemplates.id })
    if (!gone) throw notFound()
    emit(tx, { type: 'jwtTemplate.deleted', subject: id, data: {} })
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getJwtTemplate(ctx: Ctx | Tx, id: string): Promise<JwtTemplate> {
  return transaction(ctx, async (tx) => shown(await getRow(tx, id)))
}

/** Templates in the order of their names. */
export async function listJwtTemplates(ctx: Ctx | Tx, page: Pagination): Promise<Page<JwtTemplate>> {
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select()
      .from(jwtTemplates)
      .orderBy(asc(jwtTemplates.name))
      .limit(page.limit)
      .offset(page.offset)
    const [total] = await tx.db.select({ n: count() }).from(jwtTemplates)
    return { data: rows.map(shown), totalCount: total?.n ?? 0 }
  })
}

/** A template's own key, for comparing it with another: it is never shown. */
export async function openSigningKey(tx: Tx, id: string): Promise<string | undefined> {
  const { sealedSigningKey } = await getRow(tx, id)
  return sealedSigningKey === null ? undefined : unseal(tx.database.keyring, sealPurpose(tx, id), sealedSigningKey)
}

const notFound = () => new UsherError('resource_not_found', 'There is no such JWT template.')

async function getRow(tx: Tx, id: string): Promise<Row> {
  const [row] = await tx.db.select().from(jwtTemplates).where(eq(jwtTemplates.id, id))
  if (!row) throw notFound()
  return row
}

const shown = ({ sealedSigningKey, ...row }: Row): JwtTemplate => ({
  ...row,
  customSigningKey: sealedSigningKey !== null,
})

const sealPurpose = (tx: Ctx, id: string) => `jwt_template:${tx.instance.id}:${id}`

/** Checks what was asked for and seals the key. */
function valuesOf(tx: Tx, id: string, input: JwtTemplateInput, known?: Row) {
  const { name, claims, lifetime = 60, allowedClockSkew = 5 } = input
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(name))
    throw new UsherError('form_param_value_invalid', 'Names have letters, digits, "-" and "_", 100 at most.', {
      param: 'name',
    })
  inRange('lifetime', lifetime, 30, 315_360_000)
  inRange('allowed_clock_skew', allowedClockSkew, 0, 300)
  compileClaims(claims, { maxBytes: maxTemplateBytes })
  return { name, claims, lifetime, allowedClockSkew, ...keyOf(tx, id, input, known) }
}

function keyOf(tx: Tx, id: string, input: JwtTemplateInput, known: Row | undefined) {
  const { customSigningKey, signingAlgorithm = 'RS256', signingKey } = input
  if (!customSigningKey) {
    if (signingAlgorithm !== 'RS256')
      throw new UsherError('form_param_value_invalid', 'Without a key of your own the algorithm is RS256.', {
        param: 'signing_algorithm',
      })
    return { signingAlgorithm: 'RS256' as const, sealedSigningKey: null }
  }
  const algorithm = algorithmOf(signingAlgorithm)
  const kept = known?.sealedSigningKey ? unseal(tx.database.keyring, sealPurpose(tx, id), known.sealedSigningKey) : ''
  const text = signingKey || kept
  if (!text) throw new UsherError('form_param_missing', 'A signing key is needed.', { param: 'signing_key' })
  parseCustomKey(algorithm, text)
  return { signingAlgorithm: algorithm, sealedSigningKey: seal(tx.database.keyring, sealPurpose(tx, id), text) }
}

function algorithmOf(name: string): SigningAlgorithm {
  const known = jwtTemplates.signingAlgorithm.enumValues.find((algorithm) => algorithm === name)
  if (known) return known
  throw new UsherError('form_param_value_invalid', 'Algorithms are RS, ES or HS with 256, 384 or 512.', {
    param: 'signing_algorithm',
  })
}

function inRange(param: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new UsherError('form_param_value_invalid', `${param} is a whole number from ${min} to ${max}.`, { param })
}

async function save(tx: Tx, type: string, write: () => PromiseLike<Row[]>): Promise<JwtTemplate> {
  try {
    const [row] = await write()
    if (!row) throw notFound()
    emit(tx, { type, subject: row.id, data: {} })
    return shown(row)
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new UsherError('duplicate_record', 'There is a JWT template with this name.', { param: 'name' })
  }
}

type Compiled = Pick<Row, 'name' | 'lifetime' | 'allowedClockSkew'> & {
  render: RenderClaims
  key: CustomKey | undefined
}

/** Templates ready for use, by instance; dropped when one of them changes. */
const caches = new WeakMap<Database, Map<string, Promise<Map<string, Compiled>>>>()

function compiledTemplates(ctx: Ctx): Promise<Map<string, Compiled>> {
  let byInstance = caches.get(ctx.database)
  if (!byInstance) {
    const made = new Map<string, Promise<Map<string, Compiled>>>()
    busOf(ctx.database)?.subscribe(({ type, instanceId }) => {
      if (type.startsWith('jwtTemplate.')) made.delete(instanceId)
    })
    caches.set(ctx.database, made)
    byInstance = made
  }
  const { id } = ctx.instance
  const known = byInstance.get(id)
  if (known) return known
  const loading = compileAll(ctx)
  byInstance.set(id, loading)
  loading.catch(() => byInstance.get(id) === loading && byInstance.delete(id))
  return loading
}

async function compileAll(ctx: Ctx): Promise<Map<string, Compiled>> {
  const rows = await transaction(ctx, (tx) => tx.db.select().from(jwtTemplates))
  const compiled = new Map<string, Compiled>()
  for (const row of rows) {
    try {
      compiled.set(row.name, compileRow(ctx, row))
    } catch (error) {
      // A key that USHER_SECRET does not open any more takes its own template away, and not the others.
      ctx.log.error({ err: error, template: row.id }, 'a JWT template cannot be used')
    }
  }
  return compiled
}

function compileRow(ctx: Ctx, row: Row): Compiled {
  const key = row.sealedSigningKey
    ? parseCustomKey(row.signingAlgorithm, unseal(ctx.database.keyring, sealPurpose(ctx, row.id), row.sealedSigningKey))
    : undefined
  return { ...row, key, render: compileClaims(row.claims, { maxBytes: maxTemplateBytes }) }
}

/**
 * Makes a token from a template for the session's person and active organization. Reads nothing once the instance's
 * templates are known here.
 *
 * @param mint.azp origin of the application that asks
 * @param mint.lifetime seconds, if not the template's
 * @throws {UsherError} `resource_not_found`, `signed_out` or `token_too_large`
 */
export async function mintTemplateToken(
  ctx: Ctx,
  session: SessionState,
  name: string,
  mint: { azp?: string | undefined; lifetime?: number | undefined } = {},
): Promise<string> {
  const now = ctx.now()
  if (!isSignedIn(session, now)) throw new UsherError('signed_out', 'This session has ended.')
  // Who verifies these cannot see that something is left to do, so there are none until it is done.
  if (sessionTasksOf(ctx.instance, session).length > 0)
    throw new UsherError('forbidden', 'This session has tasks left before it counts.')
  const template = (await compiledTemplates(ctx)).get(name)
  if (!template) throw notFound()
  const organizationId = activeOrganizationOf(session)
  const membership = session.memberships.find((m) => m.organizationId === organizationId)
  const iat = Math.floor(now.getTime() / 1000)
  const payload = {
    // Before the others, which win.
    ...template.render(lookupFor(session, membership)),
    ...(mint.azp && { azp: mint.azp }),
    exp: iat + lifetimeOf(ctx, template, mint.lifetime),
    iat,
    iss: issuerOf(ctx.instance),
    jti: randomBase62(20),
    nbf: iat - template.allowedClockSkew,
    sub: session.userId,
    ...(session.actor && { act: session.actor }),
  }
  if (Buffer.byteLength(JSON.stringify(payload)) > maxPayloadBytes)
    throw new UsherError('token_too_large', `The claims of a token take ${maxPayloadBytes} bytes at most.`)
  const header = { typ: 'JWT', cat: templateClass }
  return template.key ? signWithCustomKey(template.key, header, payload) : signJwt(ctx.instance, header, payload)
}

/** Whoever asks for another lifetime gets no more than the instance's key is kept for. */
function lifetimeOf(ctx: Ctx, template: Compiled, wanted: number | undefined): number {
  if (wanted === undefined || template.key) return wanted ?? template.lifetime
  return Math.min(wanted, Math.max(template.lifetime, ctx.instance.settings.session.maximumLifetime))
}

/** Seconds that a token signed with the instance's key lives at most: of a session, or by a template. */
export async function longestTokenLifetime(ctx: Ctx): Promise<number> {
  const templates = [...(await compiledTemplates(ctx)).values()].filter((t) => !t.key)
  return Math.max(ctx.instance.settings.session.maximumLifetime, ...templates.map((t) => t.lifetime))
}
