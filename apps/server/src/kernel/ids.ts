const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length))

/** The kinds of things that have ids, and the prefix that tells a reader (and the SDKs) which is which. */
export const idPrefixes = {
  application: 'app',
  instance: 'ins',
  secretKey: 'skey',
  user: 'user',
  identification: 'idn',
  client: 'client',
  session: 'sess',
  signIn: 'sia',
  signUp: 'sua',
  verification: 'ver',
  oneTimeToken: 'ott',
  signInToken: 'sit',
  organization: 'org',
  membership: 'orgmem',
  organizationInvitation: 'orginv',
  organizationDomain: 'orgdmn',
  organizationSuggestion: 'orgsug',
  membershipRequest: 'orgmemreq',
  invitation: 'inv',
  role: 'role',
  permission: 'perm',
  roleSet: 'rset',
  group: 'group',
  feature: 'feat',
  featureGrant: 'fgrant',
  message: 'msg',
  externalAccount: 'eac',
  socialConnection: 'scon',
  image: 'img',
  totp: 'totp',
  passkey: 'pkey',
  backupCode: 'bcode',
  actorToken: 'act',
  jwtTemplate: 'jtmp',
  allowlistIdentifier: 'alid',
  blocklistIdentifier: 'blid',
  waitlistEntry: 'wle',
  redirectUrl: 'ru',
  domain: 'dmn',
  device: 'dvc',
  webhookEndpoint: 'whep',
  webhookPortalSession: 'whps',
  machine: 'mch',
  machineSecretKey: 'mkey',
  m2mToken: 'mt',
  apiKey: 'apikey',
  auditEntry: 'audit',
} as const

export type IdKind = keyof typeof idPrefixes

/** A new id: the kind's prefix and 27 characters that carry 160 bits from the CSPRNG. */
export function newId(kind: IdKind): string {
  return `${idPrefixes[kind]}_${randomBase62(27)}`
}

/**
 * An id that looks like any other and is the same for the same bytes: for things that are not there, where nobody may
 * learn that they are not.
 *
 * @param bytes a keyed digest of 64 bytes
 */
export function idFrom(kind: IdKind, bytes: Uint8Array): string {
  const characters = [...bytes].filter((byte) => byte < 248).map((byte) => alphabet[byte % 62])
  return `${idPrefixes[kind]}_${characters.slice(0, 27).join('')}`
}

/** `length` characters of [0-9A-Za-z], uniform, from the CSPRNG. */
export function randomBase62(length: number): string {
  let out = ''
  while (out.length < length) {
    for (const byte of randomBytes(length * 2)) {
      // 248 = 4 * 62: larger bytes would make the first characters of the alphabet more likely.
      if (byte < 248 && out.length < length) out += alphabet[byte % 62]
    }
  }
  return out
}

/** `length` decimal digits, uniform, from the CSPRNG. */
export function randomDigits(length: number): string {
  let out = ''
  while (out.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < 250 && out.length < length) out += String(byte % 10)
    }
  }
  return out
}
