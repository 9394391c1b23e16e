import { and, eq, ne } from 'drizzle-orm'
import { type Tx, takeTurn } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { isOneLine, isVisible } from '../../kernel/plain-name.ts'
import { organizations } from './tables.ts'

/** Slugs that would be taken for something else in an application's addresses. */
const reservedSlugs = new Set(
  `account accounts admin administrator api app assets auth billing blog cdn clerk console dashboard dev docs
  help home internal invite legal localhost login logout mail me new null oauth org organization organizations personal
  root security settings sign-in sign-up signin signup sso static status support system team undefined user users usher
  well-known www`.split(/\s+/),
)

/** Letters of other scripts that are drawn as a Latin one is, in lower case; from Unicode's confusables (UTS 39). */
const lookAlikes: Record<string, string> = {
  // Cyrillic
  а: 'a',
  в: 'b',
  с: 'c',
  ԁ: 'd',
  е: 'e',
  һ: 'h',
  і: 'i',
  ј: 'j',
  к: 'k',
  ӏ: 'l',
  м: 'm',
  н: 'h',
  о: 'o',
  р: 'p',
  ԛ: 'q',
  ѕ: 's',
  т: 't',
  у: 'y',
  ѵ: 'v',
  ԝ: 'w',
  х: 'x',
  // Greek
  α: 'a',
  β: 'b',
  ε: 'e',
  η: 'n',
  ι: 'i',
  κ: 'k',
  μ: 'm',
  ν: 'v',
  ο: 'o',
  ρ: 'p',
  τ: 't',
  υ: 'u',
  χ: 'x',
  ζ: 'z',
  // Armenian and others
  ո: 'n',
  ս: 'u',
  օ: 'o',
  հ: 'h',
  ց: 'g',
  ı: 'i',
  ɑ: 'a',
  ɡ: 'g',
}

const scripts = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u]

const normalize = (name: string) => name.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim()

/** A name as a careless reader sees it: the same for names that look the same. */
export function nameSkeleton(name: string): string {
  return [...normalize(name).normalize('NFD')]
    .map((letter) => lookAlikes[letter] ?? letter)
    .join('')
    .slice(0, 512)
}

/**
 * @throws {UsherError} `form_param_nil`, `form_param_max_length_exceeded`, `form_param_format_invalid` (control characters) or
 *   `organization_name_misleading` for invisible characters and for words of several scripts
 */
export function parseName(name: string): string {
  const trimmed = name.trim()
  if (trimmed === '') throw new UsherError('form_param_nil', 'Enter a name.', { param: 'name' })
  if (trimmed.length > 256)
    throw new UsherError('form_param_max_length_exceeded', 'A name has 256 characters at most.', { param: 'name' })
  if (!isOneLine(trimmed))
    throw new UsherError('form_param_format_invalid', 'A name is one line of text.', { param: 'name' })
  const mixed = trimmed
    .split(/[^\p{L}\p{M}]+/u)
    .some((word) => scripts.filter((script) => script.test(word)).length > 1)
  if (mixed || !isVisible(trimmed)) throw misleading()
  return trimmed
}

const misleading = () =>
  new UsherError('organization_name_misleading', 'This name reads as another one. Please choose a different name.', {
    param: 'name',
  })

/**
 * Refuses a name that is written differently from another organization's and looks the same. Equal names are allowed:
 * many organizations are called alike.
 *
 * @throws {UsherError} `organization_name_misleading`
 */
export async function refuseLookAlike(tx: Tx, { id, name }: { id: string; name: string }): Promise<void> {
  const skeleton = nameSkeleton(name)
  // Of two look-alikes that arrive together, the second sees the first.
  await takeTurn(tx, `organization name ${skeleton}`)
  const alike = await tx.db
    .select({ name: organizations.name })
    .from(organizations)
    .where(and(eq(organizations.nameSkeleton, skeleton), ne(organizations.id, id)))
    .limit(20)
  // Accents are seen: only what differs in nothing but its script is a look-alike.
  if (alike.some((other) => normalize(other.name) !== normalize(name))) throw misleading()
}

/** A slug that a caller chose. @throws {UsherError} `form_param_unknown` where slugs are off, `form_param_format_invalid` */
export function parseSlug(tx: Tx, slug: string): string {
  if (!tx.instance.settings.organizations.slugs)
    throw new UsherError('form_param_unknown', 'Organizations have no slugs here.', { param: 'slug' })
  // Digits are read as the letters that they look like: `adm1n` is no better than `admin`.
  const read = slug.replaceAll('0', 'o').replaceAll('_', '-')
  const taken = [slug, read.replaceAll('1', 'i'), read.replaceAll('1', 'l')].some((s) => reservedSlugs.has(s))
  if (taken || !/^[a-z0-9][a-z0-9_-]{0,99}$/.test(slug) || slug.startsWith('org_'))
    throw new UsherError(
      'form_param_format_invalid',
      'A slug has lower-case letters, digits and hyphens, and is not a reserved word.',
      { param: 'slug' },
    )
  return slug
}

/** A name may be taken many times, its slug once: a suffix makes it so without asking. */
export function slugFrom(name: string): string {
  const words = slugWords(name)
  const suffix = randomBase62(8).toLowerCase()
  return words ? `${words}-${suffix}` : suffix
}

/** The part of a name that a slug can hold. */
export function slugWords(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60)
}
