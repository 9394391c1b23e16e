import { UsherError } from '../../kernel/errors.ts'

const base64 = '[A-Za-z0-9+/_-]+={0,2}'
const hex = (length: number) => `[0-9a-fA-F]{${length}}`

/** How a digest of each hasher looks. What looks otherwise could never be verified, and its owner never sign in. */
const patterns: Record<string, RegExp> = {
  argon2i: /^\$argon2i\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/,
  argon2id: /^\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/,
  bcrypt: /^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$/,
  bcrypt_peppered: /^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$/,
  bcrypt_sha256_django: /^bcrypt_sha256\$\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$/,
  ldap_ssha: new RegExp(`^\\{SSHA\\d*\\}${base64}$`, 'i'),
  md5: new RegExp(`^${hex(32)}$`),
  md5_salted: new RegExp(`^${hex(32)}[$:].+$`),
  md5_phpass: /^\$[PH]\$[./A-Za-z0-9]{31}$/,
  phpass: /^\$[PH]\$[./A-Za-z0-9]{31}$/,
  pbkdf2_sha1: /^pbkdf2_sha1\$\d+\$[^$]+\$[^$]+(\$\d+)?$/,
  pbkdf2_sha256: /^pbkdf2_sha256\$\d+\$[^$]+\$[^$]+(\$\d+)?$/,
  pbkdf2_sha256_django: /^pbkdf2_sha256\$\d+\$[^$]+\$[^$]+$/,
  pbkdf2_sha512: /^pbkdf2_sha512\$\d+\$[^$]+\$[^$]+(\$\d+)?$/,
  scrypt_firebase: /^[^$]+\$[^$]*\$[^$]+\$[^$]*\$\d+\$\d+$/,
  scrypt_werkzeug: /^scrypt:\d+:\d+:\d+\$[^$]+\$[0-9a-f]+$/,
  sha256: new RegExp(`^${hex(64)}$`),
  sha256_salted: new RegExp(`^${hex(64)}[$:].+$`),
  sha512_symfony: new RegExp(`^${base64}\\$.*\\$\\d+$`),
}

/** @throws {UsherError} `form_param_value_invalid` for an unknown hasher, `form_param_format_invalid` for its digest */
export function checkDigest(hasher: string, digest: string): void {
  const pattern = patterns[hasher]
  if (!pattern)
    throw new UsherError('form_param_value_invalid', `the hasher ${hasher.slice(0, 40)} is not known`, {
      param: 'password_hasher',
    })
  if (digest.length > 1024 || !pattern.test(digest))
    throw new UsherError('form_param_format_invalid', `the password digest is not one of ${hasher}`, {
      param: 'password_digest',
    })
}
