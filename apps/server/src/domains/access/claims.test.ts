import { expect, test } from 'bun:test'
import { encodeAccessClaims, standingOfClaims } from './claims.ts'
import type { Standing } from './decide.ts'

const organization = { id: 'org_1', slug: 'acme' }
const standing = (
  permissions: string[],
  features: Partial<Standing['features']> = {},
  role: string | null = 'org:admin',
): Standing => ({
  role,
  permissions,
  features: { organization: [], user: [], ...features },
  knowsSystemPermissions: true,
  isPartial: false,
})
const encode = (permissions: string[], role = 'org:admin') =>
  encodeAccessClaims(organization, standing(permissions, {}, role))

test('packs permissions of several features into one bit mask each', () => {
  const claims = encode([
    'org:billing:manage',
    'org:billing:read',
    'org:impersonation:manage',
    'org:impersonation:read',
    'org:magic_links:create',
    'org:magic_links:read',
    'org:posts:delete',
    'org:posts:manage',
    'org:posts:read',
  ])
  expect(claims).toEqual({
    o: { id: 'org_1', slg: 'acme', rol: 'admin', per: 'create,delete,manage,read', fpm: '12,12,9,14' },
    fea: 'o:billing,o:impersonation,o:magic_links,o:posts',
  })
})

test('leaves system permissions out, and everything about features when there are none', () => {
  expect(encode(['org:sys_memberships:read'], 'org:member')).toEqual({ o: { id: 'org_1', slg: 'acme', rol: 'member' } })
  expect(encode(['org:sys_memberships:read', 'org:a:read']).o).toMatchObject({ per: 'read', fpm: '1' })
})

test('has room for more names than a number has bits', () => {
  const names = Array.from({ length: 70 }, (_, i) => `n${String(i).padStart(2, '0')}`)
  const { o } = encode(names.map((name) => `org:a:${name}`))
  expect(BigInt(o?.fpm as string)).toBe((1n << 70n) - 1n)
})

test('names features of both, with a mask for each of the organization and none for those of the person alone', () => {
  const held = standing(['org:b:read'], { organization: ['a', 'b', 'c'], user: ['c', 'd'] })
  expect(encodeAccessClaims(organization, held)).toEqual({
    o: { id: 'org_1', slg: 'acme', rol: 'admin', per: 'read', fpm: '0,1,0' },
    fea: 'o:a,o:b,uo:c,u:d',
  })
  expect(encodeAccessClaims(undefined, standing([], { user: ['d'] }, null))).toEqual({ fea: 'u:d' })
})

test('leaves whole features out when there is no room, and says so', () => {
  const slugs = Array.from({ length: 300 }, (_, i) => `feature_${String(i).padStart(3, '0')}`)
  const held = standing(
    slugs.slice(0, 100).map((slug) => `org:${slug}:read`),
    { organization: slugs.slice(0, 200), user: slugs.slice(200) },
  )
  const all = encodeAccessClaims(organization, held)
  let before = 301
  for (let maxBytes = 6000; maxBytes >= 0; maxBytes -= 250) {
    const claims = encodeAccessClaims(organization, held, maxBytes)
    const read = standingOfClaims(claims)
    const kept = [...read.features.organization, ...read.features.user]
    if (kept.length > 0) expect(JSON.stringify(claims).length).toBeLessThanOrEqual(maxBytes)
    expect(kept.length).toBeLessThanOrEqual(before)
    before = kept.length
    expect(kept).toEqual(slugs.slice(0, kept.length))
    expect(read.permissions).toEqual(held.permissions.slice(0, Math.min(kept.length, 100)))
    expect(read.isPartial).toBe(kept.length < 300)
    expect(read.role).toBe('org:admin')
  }
  expect(before).toBe(0)
  expect(all.acc).toBeUndefined()
})

test('what is written into claims is read out of them', () => {
  const held = standing(['org:a:read', 'org:a:write', 'org:b:read'], {
    organization: ['a', 'b', 'z'],
    user: ['b', 'c'],
  })
  expect(standingOfClaims(encodeAccessClaims(organization, held))).toEqual({ ...held, knowsSystemPermissions: false })
})
