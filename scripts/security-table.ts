/**
 * The table in docs/security.md, from the names of the tests: a test that shows a case begins with its id.
 * `bun scripts/security-table.ts` prints whether it is up to date, `--write` writes it. A case without a test stands
 * under "What no test shows yet".
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Glob } from 'bun'

const root = join(import.meta.dir, '..')
const page = join(root, 'docs/security.md')

/** Ids and what must fail. Gaps in the numbering are cases of parts that Usher does not have yet. */
const cases: Record<string, string> = {
  A1: 'a new password without the secret that was mailed, in whatever order the steps are called',
  A2: 'links in messages built from headers of the request',
  A4: 'a reset spent twice, also in parallel',
  A5: 'one address that is two',
  A7: 'a password longer than its hash function reads',
  A8: 'parallel guesses that outrun the counter',
  A10: 'second factors guessed over many challenges',
  A11: 'a code or link redeemed after the account was locked',
  A13: 'user ids in place of identifiers',
  A14: 'passkey options that tell whether an account exists',
  A16: 'sessions of people who were banned or deleted',
  A17: 'codes and links to an address that is no longer the person’s',
  A19: 'leaked passwords tried from many addresses',
  B1: 'an account made beforehand under somebody else’s address',
  B2: 'a provider that does not say that it proved the address',
  B4: 'the same address under a new account of the provider',
  B5: 'a provider that names nobody',
  B7: 'an address outside the domains of an enterprise connection',
  B8: 'a connection that is switched off while a sign-in is under way',
  B10: 'the proof of one account of a provider used for another',
  B11: 'the proof of a link used again, or after unlinking',
  B13: 'the state of a round trip replayed, or from another browser',
  B14: 'unlinking what proved an address',
  B16: 'a callback without the state that began it',
  B17: 'ID tokens of another issuer, for another audience or without the nonce',
  C1: 'session fixation',
  C2: 'the tokens of the person who used the browser before',
  C4: 'a plain cookie beside the host-bound one',
  C5: 'signing somebody in from another site',
  C7: 'origins that look alike',
  C8: 'one tenant’s trusted origins in another’s request',
  C10: 'a session that lives on in a cookie or a cache',
  C11: 'one person’s cookie with another’s session',
  C13: 'sensitive steps in a session whose last proof is old',
  C14: 'signing out by a link, or more sessions than were asked for',
  C16: 'malformed Authorization headers',
  D1: 'unsigned tokens',
  D2: 'the public key as an HMAC secret',
  D4: 'key ids that point elsewhere',
  D5: 'a token of one kind in the place of another',
  D7: 'claims of wrong types, or named twice',
  D8: 'templates that set reserved claims',
  D10: 'tokens that are expensive to refuse',
  D11: 'signatures that were bent',
  D13: 'clocks that are off by more than the leeway',
  D14: 'a token made for another application’s origin',
  D16: 'identifiers that can be guessed',
  D17: 'a single-use value of one kind at the door of another',
  G7: 'secrets of connections read back from settings, plans or logs',
  I1: 'an invitation accepted by somebody who only claims its address',
  I2: 'an invitation’s ticket that was altered',
  I4: 'an invitation to a role above one’s own',
  I5: 'a forwarded invitation',
  I7: 'a token of one organization with the id of another',
  I8: 'rights of an organization after the removal from it',
  I10: 'roles that a page asks for and that are lost on the way',
  I11: 'detours around an application’s middleware',
  I13: 'rights given by somebody who lacks them',
  I14: 'an organization without an administrator',
  I16: 'rights that go up, down or sideways between organizations that belong together',
  I17: 'another tenant’s people and doings found by searching, counting or exporting',
  I19: 'names and slugs that are taken for others',
  I20: 'privileged metadata written from a browser',
  I22: 'roles that are several in one',
  J1: 'API keys for somebody else',
  J2: 'API keys that outlive what they were made by',
  J4: 'a secret key in a page',
  J5: 'fetches that lead into the server’s own network',
  J7: 'webhooks that are forged, replayed or signed by an old secret',
  J8: 'rights that come back by events out of order',
  J10: 'a machine’s token shown to a machine that it is not for',
  J11: 'a link to the webhook portal used again, late or elsewhere, and its session after its end',
  J13: 'SQL through orders, filters and cursors',
  K1: 'sockets that a foreign page opens',
  K2: 'tokens that are read where addresses are written down',
  K4: 'sockets that outlive their token or right',
  K5: 'frames before authentication',
  K7: 'document ids that are none',
  K8: 'guessing the static token',
  K10: 'floods of frames',
  K11: 'hostile updates',
  K12: 'a document of the same name in another tenant',
  K13: 'a crowd that comes at once',
  K14: 'resuming after a removal',
  L1: 'public keys that the server swaps',
  L2: 'nonces used twice',
  L4: 'a removed member who reads what comes later',
  L5: 'passwords, codes and parameters of a vault guessed or weakened',
  L7: 'what the server of encrypted documents learns',
  L8: 'the approval of a device relayed or used again',
  M1: 'a one-time password used twice',
  M2: 'one-time passwords of other times',
  M4: 'a password reset that skips the second factor',
  M5: 'an expired challenge, or one that makes two sessions',
  M7: 'a session that keeps the standing of a removed factor',
  M8: 'backup codes used twice or guessed',
  M10: 'a passkey registered from another site',
  M11: 'passkeys that outlive their account',
  M13: 'text messages sent at somebody’s cost',
  M14: 'links consumed by mail scanners',
  M16: 'a known device copied to another person',
  N4: 'more members than seats',
  O1: 'redirects that lead away from the application',
  O2: 'markup in names, messages and pages',
  O7: 'impersonation that climbs, nests or leaves no trace',
  O8: 'fields of the application written by the person',
  O10: 'formulas in exported tables',
  O13: 'what is for development, reached in production',
  O16: 'scripts, languages and time zones that break or disguise what a message says',
  O17: 'errors that say too much, or too late',
}

type Test = { file: string; name: string }
const tests = new Map<string, Test[]>()
for (const pattern of [
  'apps/**/*.test.ts',
  'packages/*/src/**/*.test.ts',
  'tests/**/*.test.ts',
  'examples/*/src/**/*.test.ts',
])
  for (const file of new Glob(pattern).scanSync(root)) {
    if (file.includes('node_modules')) continue
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, name = ''] of text.matchAll(
      /\b(?:test|browserTest|it)(?:\.\w+(?:\([^)]*\))?)*\(\s*['"`]([^'"`]+)/g,
    )) {
      const ids = name.match(/^((?:[A-O]\d{1,2}\b[,;:]?\s*)+)/)?.[1]?.match(/[A-O]\d{1,2}/g) ?? []
      const later = [...name.matchAll(/;\s*([A-O]\d{1,2})\b/g)].map((m) => m[1] ?? '')
      for (const id of new Set([...ids, ...later])) tests.set(id, [...(tests.get(id) ?? []), { file, name }])
    }
  }

const unknown = [...tests.keys()].filter((id) => !(id in cases))
const linkTo = (file: string) => `[${file.split('/').slice(-2).join('/')}](../${file})`
const rows = Object.entries(cases).flatMap(([id, attack]) => {
  const files = [...new Set((tests.get(id) ?? []).map((t) => t.file))].sort()
  return files.length > 0 ? [`| ${id} | ${attack} | ${files.map(linkTo).join('<br>')} |`] : []
})
const open = Object.entries(cases).filter(([id]) => !tests.has(id))
const table = [
  '<!-- cases: bun scripts/security-table.ts --write -->',
  '| id | what must fail | tests whose names begin with the id |',
  '| --- | --- | --- |',
  ...rows,
  '',
  '### What no test shows yet',
  '',
  ...(open.length > 0 ? open.map(([id, attack]) => `- ${id}: ${attack}`) : ['Nothing of the list above.']),
  '<!-- /cases -->',
].join('\n')

const text = readFileSync(page, 'utf8')
const updated = text.replace(/<!-- cases:[\s\S]*<!-- \/cases -->/, () => table)
if (unknown.length > 0) {
  console.error(`Tests name cases that scripts/security-table.ts does not know: ${unknown.join(', ')}`)
  process.exit(1)
}
if (!text.includes('<!-- /cases -->')) {
  console.error('docs/security.md has no place for the table.')
  process.exit(1)
}
if (process.argv.includes('--write')) writeFileSync(page, updated)
else if (updated !== text) {
  console.error('docs/security.md is out of date: bun scripts/security-table.ts --write')
  process.exit(1)
}
