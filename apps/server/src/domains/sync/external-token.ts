import { createHash } from 'node:crypto'
import { errors, jwtVerify } from 'jose'
import type { Egress } from '../../kernel/egress.ts'
import { type AsymmetricAlgorithm, asymmetricAlgorithms, KeysUnavailable, RemoteKeys } from '../../kernel/jwks.ts'
import type { SyncIssuer, SyncIssuerRule } from '../instances/index.ts'
import { matchesParts } from './access.ts'
import type { CloseReason } from './close-codes.ts'
import { readCompact } from './compact-token.ts'
import type { Access } from './connection.ts'

/** Of the clocks of others. */
const skewSeconds = 5
/** Kinds of tokens that prove somebody to an API. One of another kind (a logout, an event) proves nothing here. */
const usualTypes = new Set(['jwt', 'at+jwt', 'application/at+jwt'])

export type ExternalClaims = {
  access: Access
  /** `<name of the issuer>:<its subject>`; the subject alone where there is one issuer and nobody else. */
  userId: string
  organizationId: string | undefined
  jti: string | undefined
  /** Seconds since 1970. */
  expiresAt: number
  /** See {@link versionOfIssuer}. */
  version: string
}

export type ExternalVerdict =
  | { allowed: true; claims: ExternalClaims }
  /** With `userId` the token is genuine, and only the right is missing. */
  | { allowed: false; reason: CloseReason; message: string; userId?: string }

/** Somebody of another issuer, with what their token says. What they may do is decided document by document. */
export type ExternalPerson = Omit<ExternalClaims, 'access'> & {
  issuer: SyncIssuer
  payload: Readonly<Record<string, unknown>>
}

/** Names what is said of an issuer: another one means that its tokens have to be looked at again. */
export function versionOfIssuer(issuer: SyncIssuer): string {
  return createHash('sha256').update(JSON.stringify(issuer)).digest('base64url').slice(0, 16)
}

/** The keys of all issuers that are trusted, by where they are. */
export class ExternalIssuers {
  private readonly keys = new Map<string, RemoteKeys>()
  private readonly egress: Egress

  constructor(egress: Egress) {
    this.egress = egress
  }

  private keysOf({ issuer, jwksUrl }: SyncIssuer): RemoteKeys {
    const name = `${issuer} ${jwksUrl ?? ''}`
    let keys = this.keys.get(name)
    if (!keys) {
      // Settings change rarely: what is no longer in them is forgotten with everything else.
      if (this.keys.size >= 1000) this.keys.clear()
      keys = new RemoteKeys({ issuer, jwksUrl }, this.egress)
      this.keys.set(name, keys)
    }
    return keys
  }

  /**
   * Judges a token of another issuer for a document.
   *
   * @param issuers those that are trusted
   * @returns undefined for a token that names none of them
   */
  async judge(
    issuers: readonly SyncIssuer[],
    token: string,
    docId: string,
    now: Date,
  ): Promise<ExternalVerdict | undefined> {
    const person = await this.verify(issuers, token, now)
    if (!person || 'allowed' in person) return person
    const access = externalAccess(person, docId)
    const { userId, organizationId, jti, expiresAt, version } = person
    return access
      ? { allowed: true, claims: { access, userId, organizationId, jti, expiresAt, version } }
      : { allowed: false, reason: 'forbidden', message: 'no right to this document', userId }
  }

  /**
   * Finds out whose token it is.
   *
   * @param issuers those that are trusted
   * @returns undefined for a token that names none of them
   */
  async verify(
    issuers: readonly SyncIssuer[],
    token: string,
    now: Date,
  ): Promise<ExternalPerson | Extract<ExternalVerdict, { allowed: false }> | undefined> {
    const read = readCompact(token)
    const issuer = read && issuers.find((one) => one.issuer === read.claims.iss)
    if (!read || !issuer) return undefined
    const { alg, kid, typ } = read.header
    const algorithm = algorithmsOf(issuer).find((one) => one === alg)
    if (!algorithm || !(kid === undefined || (typeof kid === 'string' && kid.length <= 256)) || !isUsual(typ, issuer))
      return wrong
    try {
      const key = await this.keysOf(issuer).find(kid, algorithm)
      if (!key) return wrong
      const { payload } = await jwtVerify(token, key, {
        algorithms: [algorithm],
        issuer: issuer.issuer,
        audience: issuer.audience,
        currentDate: now,
        clockTolerance: skewSeconds,
        requiredClaims: ['sub', 'exp'],
      })
      const seconds = now.getTime() / 1000
      if (payload.iat !== undefined && !(payload.iat <= seconds + skewSeconds)) return wrong
      return personOf(issuer, payload as Record<string, unknown> & { exp: number }) ?? wrong
    } catch (error) {
      if (error instanceof KeysUnavailable)
        return {
          allowed: false,
          reason: 'storage_unavailable',
          message: 'the keys of the issuer cannot be fetched now',
        }
      if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException) return wrong
      throw error
    }
  }
}

const wrong = {
  allowed: false,
  reason: 'unauthenticated',
  message: 'the token is wrong or has expired',
} as const satisfies ExternalVerdict

function algorithmsOf({ algorithms }: SyncIssuer): readonly AsymmetricAlgorithm[] {
  return algorithms.length > 0 ? algorithms : asymmetricAlgorithms
}

function isUsual(typ: unknown, { type }: SyncIssuer): boolean {
  if (type !== undefined) return typeof typ === 'string' && typ.toLowerCase() === type.toLowerCase()
  return typ === undefined || (typeof typ === 'string' && usualTypes.has(typ.toLowerCase()))
}

/** @returns undefined for a genuine token that names nobody */
function personOf(issuer: SyncIssuer, payload: Record<string, unknown> & { exp: number }): ExternalPerson | undefined {
  const { name, claims: names } = issuer
  const subject = textOf(read(payload, names.subject))
  if (subject === undefined) return undefined
  const organization = textOf(read(payload, names.organization))
  const within = (id: string) => (name === '' ? id : `${name}:${id}`)
  return {
    issuer,
    payload,
    userId: within(subject),
    organizationId: organization && within(organization),
    jti: textOf(payload.jti),
    expiresAt: payload.exp,
    version: versionOfIssuer(issuer),
  }
}

/** What the claims of a genuine token are good for in a document: by the claim that names it, or by the issuer's rules. */
export function externalAccess({ issuer, payload }: ExternalPerson, docId: string): Access | undefined {
  const { claims: names, rules } = issuer
  if (names.document !== undefined && read(payload, names.document) !== undefined)
    return accessByClaim(payload, names.document, names.access, docId)
  return accessByExternalRules(rules, docId, {
    subject: textOf(read(payload, names.subject)) ?? '',
    organization: textOf(read(payload, names.organization)),
    permissions: listOf(read(payload, names.permissions)),
  })
}

/** A claim by its name, dots and slashes included, or by a path of names. Own properties alone. */
function read(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string, unknown>)[part]
  }
  return value
}

/** Text that can be stored: PostgreSQL takes no NUL, and no half of a character. */
function textOf(value: unknown): string | undefined {
  const isText = typeof value === 'string' && value !== '' && value.length <= 255
  return isText && value.isWellFormed() && !/\p{Cc}/u.test(value) ? value : undefined
}

/** Permissions as a list, or as one text with spaces as scopes are. */
function listOf(value: unknown): ReadonlySet<string> {
  if (typeof value === 'string') return new Set(value.split(' ').filter(Boolean))
  return new Set(Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [])
}

/** The issuer itself names the document, or with `*` at the end all whose ids begin so. */
function accessByClaim(
  payload: Readonly<Record<string, unknown>>,
  documentClaim: string,
  accessClaim: string,
  docId: string,
): Access | undefined {
  const room = textOf(read(payload, documentClaim))
  const access = read(payload, accessClaim)
  if (room === undefined) return undefined
  const fits = room.endsWith('*') ? docId.startsWith(room.slice(0, -1)) : docId === room
  if (!fits) return undefined
  if (access === 'write' || access === 'admin') return 'write'
  return access === 'read' ? 'read' : undefined
}

type Facts = { subject: string; organization: string | undefined; permissions: ReadonlySet<string> }

/**
 * The first rule whose pattern fits decides; without one there is no access. `{subject}` and `{organization}` stand for
 * what the token says, percent-encoded and never a wildcard.
 */
function accessByExternalRules(rules: readonly SyncIssuerRule[], docId: string, facts: Facts): Access | undefined {
  const rule = rules.find(({ pattern }) => fitsPattern(pattern, docId, facts))
  if (!rule) return undefined
  const may = (permission: string | false | undefined) =>
    permission === undefined || (permission !== false && facts.permissions.has(permission))
  if (!may(rule.read)) return undefined
  return may(rule.write) ? 'write' : 'read'
}

function fitsPattern(pattern: string, docId: string, { subject, organization }: Facts): boolean {
  if (pattern.includes('{organization}') && organization === undefined) return false
  const parts = pattern
    .split('*')
    .map((part) =>
      part.replaceAll('{subject}', encode(subject)).replaceAll('{organization}', encode(organization ?? '')),
    )
  return matchesParts(parts, docId)
}

function encode(value: string): string {
  return encodeURIComponent(value)
}
