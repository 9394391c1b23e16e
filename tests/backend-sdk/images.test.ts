import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
const file = new File([gif], 'me.gif', { type: 'image/gif' })
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => error.errors?.[0]?.code ?? String(error),
  )

test('a profile image is set and removed through the SDK, and served to everybody', async () => {
  const { id } = await clerk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
  const before = await clerk.users.getUser(id)
  expect([before.hasImage, before.imageUrl]).toEqual([false, expect.stringContaining('avatar_placeholder')])
  const user = await clerk.users.updateUserProfileImage(id, { file })
  expect([user.hasImage, (await clerk.users.getUser(id)).imageUrl]).toEqual([true, user.imageUrl])
  const served = await fetch(user.imageUrl)
  expect([served.status, served.headers.get('content-type')]).toEqual([200, 'image/webp'])
  const removed = await clerk.users.deleteUserProfileImage(id)
  expect(removed.hasImage).toBe(false)
  expect((await fetch(user.imageUrl)).status).toBe(404)
})

test('a logo is set and removed through the SDK', async () => {
  const { id } = await clerk.users.createUser({ emailAddress: ['bob@example.com'], skipPasswordRequirement: true })
  const organization = await clerk.organizations.createOrganization({ name: 'Frontiers', createdBy: id })
  const set = await clerk.organizations.updateOrganizationLogo(organization.id, { file, uploaderUserId: id })
  expect([set.id, set.hasImage]).toEqual([organization.id, true])
  expect((await fetch(set.imageUrl)).status).toBe(200)
  expect((await clerk.organizations.deleteOrganizationLogo(organization.id)).hasImage).toBe(false)
})

test('refusals carry the codes that the SDK passes on', async () => {
  const { id } = await clerk.users.createUser({ emailAddress: ['eve@example.com'], skipPasswordRequirement: true })
  const text = new File(['not a picture'], 'me.png', { type: 'image/png' })
  expect(await codeOf(clerk.users.updateUserProfileImage(id, { file: text }))).toBe('avatar_file_type_invalid')
  const large = new File([new Uint8Array(10 * 1024 * 1024 + 1)], 'me.png', { type: 'image/png' })
  expect(await codeOf(clerk.users.updateUserProfileImage(id, { file: large }))).toBe('avatar_file_size_exceeded')
  expect(await codeOf(clerk.users.updateUserProfileImage('user_nobody', { file }))).toBe('resource_not_found')
  expect(await codeOf(clerk.organizations.updateOrganizationLogo('org_nobody', { file }))).toBe('resource_not_found')
})
