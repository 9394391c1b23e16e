import { expect, test } from 'bun:test'
import { encodeOrganizationClaims } from './claims.ts'

const organization = { id: 'org_1', slug: 'acme' }
const encode = (permissions: string[], key = 'org:admin') =>
  encodeOrganizationClaims({ organization, role: { key, permissions } })

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
  expect(BigInt(o.fpm as string)).toBe((1n << 70n) - 1n)
})
