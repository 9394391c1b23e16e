import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/**
 * Every method of the server SDK's resources that Usher promises, called and its answer looked at as the SDK reads it.
 * The list of methods is the package's: a new version with a new method fails here until somebody looks at it.
 */
let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

const numbers = (() => {
  let n = 0
  return () => ++n
})()
const address = () => `method-${numbers()}@example.com`
const newUser = (more: object = {}) =>
  clerk.users.createUser({ emailAddress: [address()], skipPasswordRequirement: true, ...more })
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => error.errors?.[0]?.code ?? String(error),
  )
/** What the SDK made of an answer: an instance of one of its classes, and not the bare JSON that it could not read. */
const isRead = (value: unknown) => {
  expect(value).toBeObject()
  expect((value as object).constructor.name).not.toBe('Object')
}

type Calls = Record<string, () => Promise<void>>

function everyMethodOf(name: string, resource: () => object, calls: Calls) {
  describe(name, () => {
    test('every method of the package is called below', () => {
      const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(resource())).filter((m) => m !== 'constructor')
      expect(Object.keys(calls).sort()).toEqual(methods.sort())
    })
    for (const [method, call] of Object.entries(calls)) test(method, call, 20_000)
  })
}
const png = Uint8Array.from(
  atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='),
  (c) => c.charCodeAt(0),
)

everyMethodOf('users', () => clerk.users, {
  getUserList: async () => {
    const { id } = await newUser()
    const page = await clerk.users.getUserList({ userId: [id] })
    expect(page).toMatchObject({ totalCount: 1, data: [{ id }] })
    isRead(page.data[0])
  },
  getUser: async () => {
    const { id } = await newUser()
    const user = await clerk.users.getUser(id)
    isRead(user)
    expect(user.emailAddresses[0]?.verification?.status).toBe('verified')
    expect(await codeOf(clerk.users.getUser('user_nobody'))).toBe('resource_not_found')
  },
  createUser: async () => {
    const emailAddress = address()
    const user = await clerk.users.createUser({
      emailAddress: [emailAddress],
      phoneNumber: ['+12025550160'],
      username: 'every_method',
      firstName: 'Ada',
      lastName: 'Lovelace',
      password: 'an unusual passphrase of hers',
      externalId: 'crm-every',
      locale: 'de-DE',
      publicMetadata: { a: 1 },
      privateMetadata: { b: 2 },
      unsafeMetadata: { c: 3 },
      createdAt: new Date('2020-02-02T02:02:02.002Z'),
    })
    isRead(user)
    expect(user).toMatchObject({ firstName: 'Ada', username: 'every_method', externalId: 'crm-every', locale: 'de-DE' })
    expect(user).toMatchObject({ publicMetadata: { a: 1 }, privateMetadata: { b: 2 }, unsafeMetadata: { c: 3 } })
    expect(user).toMatchObject({ passwordEnabled: true, createdAt: Date.parse('2020-02-02T02:02:02.002Z') })
    expect(user.primaryEmailAddress?.emailAddress).toBe(emailAddress)
    expect(user.primaryPhoneNumber?.phoneNumber).toBe('+12025550160')
  },
  updateUser: async () => {
    const { id } = await newUser()
    const user = await clerk.users.updateUser(id, {
      firstName: 'Grace',
      locale: 'fr-FR',
      createOrganizationsLimit: 3,
      deleteSelfEnabled: false,
      publicMetadata: { seat: 'A1' },
    })
    expect(user).toMatchObject({ firstName: 'Grace', locale: 'fr-FR', createOrganizationsLimit: 3 })
    expect(user).toMatchObject({ deleteSelfEnabled: false, publicMetadata: { seat: 'A1' } })
  },
  replaceUserEmailAddress: async () => {
    const { id, primaryEmailAddressId } = await newUser()
    const emailAddress = address()
    const made = await clerk.users.replaceUserEmailAddress(id, { emailAddress })
    isRead(made)
    expect(made.emailAddress).toBe(emailAddress)
    const user = await clerk.users.getUser(id)
    expect(user.emailAddresses.map((e) => e.emailAddress)).toEqual([emailAddress])
    expect(user.primaryEmailAddressId).not.toBe(primaryEmailAddressId)
    const { emailAddresses } = await newUser()
    const taken = emailAddresses[0]?.emailAddress ?? ''
    expect(await codeOf(clerk.users.replaceUserEmailAddress(id, { emailAddress: taken }))).toBe(
      'form_identifier_exists',
    )
    expect((await clerk.users.getUser(id)).primaryEmailAddress?.emailAddress).toBe(emailAddress)
  },
  replaceUserPhoneNumber: async () => {
    const { id } = await newUser({ phoneNumber: ['+12025550161'] })
    const made = await clerk.users.replaceUserPhoneNumber(id, { phoneNumber: '+12025550162' })
    isRead(made)
    expect((await clerk.users.getUser(id)).phoneNumbers.map((p) => p.phoneNumber)).toEqual(['+12025550162'])
  },
  updateUserProfileImage: async () => {
    const { id } = await newUser()
    const user = await clerk.users.updateUserProfileImage(id, { file: new Blob([png], { type: 'image/png' }) })
    expect(user.hasImage).toBe(true)
    expect((await fetch(user.imageUrl)).headers.get('content-type')).toStartWith('image/')
  },
  deleteUserProfileImage: async () => {
    const { id } = await newUser()
    await clerk.users.updateUserProfileImage(id, { file: new Blob([png], { type: 'image/png' }) })
    expect((await clerk.users.deleteUserProfileImage(id)).hasImage).toBe(false)
  },
  updateUserMetadata: async () => {
    const { id } = await newUser({ publicMetadata: { a: { b: 1, c: 2 } } })
    const user = await clerk.users.updateUserMetadata(id, { publicMetadata: { a: { b: null } } })
    expect(user.publicMetadata).toEqual({ a: { c: 2 } })
  },
  replaceUserMetadata: async () => {
    const { id } = await newUser({ publicMetadata: { a: 1 }, privateMetadata: { kept: true } })
    const user = await clerk.users.replaceUserMetadata(id, { publicMetadata: { b: 2 } })
    expect(user).toMatchObject({ publicMetadata: { b: 2 }, privateMetadata: { kept: true } })
  },
  deleteUser: async () => {
    const { id } = await newUser()
    expect(await clerk.users.deleteUser(id)).toMatchObject({ id, deleted: true })
    expect(await codeOf(clerk.users.deleteUser(id))).toBe('resource_not_found')
  },
  getCount: async () => {
    const { id } = await newUser()
    expect(await clerk.users.getCount({ userId: [id] })).toBe(1)
  },
  getUserOauthAccessToken: async () => {
    const { id } = await newUser()
    expect(await clerk.users.getUserOauthAccessToken(id, 'google')).toMatchObject({ data: [], totalCount: 0 })
  },
  disableUserMFA: async () => {
    const { id } = await newUser({ totpSecret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' })
    await clerk.users.disableUserMFA(id)
    expect((await clerk.users.getUser(id)).totpEnabled).toBe(false)
  },
  getOrganizationMembershipList: async () => {
    const { id } = await newUser()
    await clerk.organizations.createOrganization({ name: 'Methods', createdBy: id })
    const page = await clerk.users.getOrganizationMembershipList({ userId: id })
    expect(page).toMatchObject({ totalCount: 1, data: [{ role: 'org:admin', organization: { name: 'Methods' } }] })
    isRead(page.data[0])
  },
  getOrganizationInvitationList: async () => {
    const owner = await newUser()
    const invited = await newUser()
    const { id: organizationId } = await clerk.organizations.createOrganization({
      name: 'Inviters',
      createdBy: owner.id,
    })
    const emailAddress = invited.primaryEmailAddress?.emailAddress ?? ''
    await clerk.organizations.createOrganizationInvitation({
      organizationId,
      emailAddress,
      role: 'org:member',
      inviterUserId: owner.id,
    })
    const page = await clerk.users.getOrganizationInvitationList({ userId: invited.id })
    expect(page).toMatchObject({ totalCount: 1, data: [{ emailAddress, organizationId }] })
    isRead(page.data[0])
  },
  removePassword: async () => {
    const { id } = await newUser({ password: 'an unusual passphrase of hers' })
    expect((await clerk.users.removePassword(id)).passwordEnabled).toBe(false)
  },
  verifyPassword: async () => {
    const { id } = await newUser({ password: 'an unusual passphrase of hers' })
    const right = { userId: id, password: 'an unusual passphrase of hers' }
    expect(await clerk.users.verifyPassword(right)).toEqual({ verified: true })
    expect(await codeOf(clerk.users.verifyPassword({ ...right, password: 'another' }))).toBe('form_password_incorrect')
  },
  verifyTOTP: async () => {
    const { id } = await newUser({ totpSecret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', backupCodes: ['abcd-efgh-2345'] })
    expect(await clerk.users.verifyTOTP({ userId: id, code: 'abcd-efgh-2345' })).toEqual({
      verified: true,
      code_type: 'backup_code' as never,
    })
    expect(await codeOf(clerk.users.verifyTOTP({ userId: id, code: '000000' }))).toBe('form_code_incorrect')
  },
  banUser: async () => {
    const { id } = await newUser()
    expect((await clerk.users.banUser(id)).banned).toBe(true)
  },
  unbanUser: async () => {
    const { id } = await newUser({ banned: true })
    expect((await clerk.users.unbanUser(id)).banned).toBe(false)
  },
  lockUser: async () => {
    const { id } = await newUser()
    expect((await clerk.users.lockUser(id)).locked).toBe(true)
  },
  unlockUser: async () => {
    const { id } = await newUser()
    await clerk.users.lockUser(id)
    expect((await clerk.users.unlockUser(id)).locked).toBe(false)
  },
  deleteUserPasskey: async () => {
    const { id } = await newUser()
    const passkeyIdentificationId = 'idn_nothing'
    expect(await codeOf(clerk.users.deleteUserPasskey({ userId: id, passkeyIdentificationId }))).toBe(
      'resource_not_found',
    )
  },
  deleteUserWeb3Wallet: async () => {
    const { id } = await newUser()
    const web3WalletIdentificationId = 'idn_nothing'
    expect(await codeOf(clerk.users.deleteUserWeb3Wallet({ userId: id, web3WalletIdentificationId }))).toBe(
      'resource_not_found',
    )
  },
  deleteUserExternalAccount: async () => {
    const { id } = await newUser()
    expect(await codeOf(clerk.users.deleteUserExternalAccount({ userId: id, externalAccountId: 'eac_nothing' }))).toBe(
      'resource_not_found',
    )
  },
  deleteUserBackupCodes: async () => {
    const { id } = await newUser({
      totpSecret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP',
      backupCodes: ['abcd-efgh-2345'],
    })
    expect((await clerk.users.getUser(id)).backupCodeEnabled).toBe(true)
    await clerk.users.deleteUserBackupCodes(id)
    expect(await clerk.users.getUser(id)).toMatchObject({ backupCodeEnabled: false, totpEnabled: true })
  },
  deleteUserTOTP: async () => {
    const { id } = await newUser({ totpSecret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' })
    expect((await clerk.users.getUser(id)).totpEnabled).toBe(true)
    await clerk.users.deleteUserTOTP(id)
    expect((await clerk.users.getUser(id)).totpEnabled).toBe(false)
  },
  setPasswordCompromised: async () => {
    const { id } = await newUser({ password: 'an unusual passphrase of hers' })
    isRead(await clerk.users.setPasswordCompromised(id))
  },
  unsetPasswordCompromised: async () => {
    const { id } = await newUser({ password: 'an unusual passphrase of hers' })
    await clerk.users.setPasswordCompromised(id)
    isRead(await clerk.users.unsetPasswordCompromised(id))
  },
})

everyMethodOf('emailAddresses', () => clerk.emailAddresses, {
  createEmailAddress: async () => {
    const { id: userId } = await newUser()
    const emailAddress = address()
    const made = await clerk.emailAddresses.createEmailAddress({ userId, emailAddress, verified: true, primary: true })
    isRead(made)
    expect(made).toMatchObject({ emailAddress, verification: { status: 'verified' } })
    expect((await clerk.users.getUser(userId)).primaryEmailAddressId).toBe(made.id)
  },
  getEmailAddress: async () => {
    const { emailAddresses } = await newUser()
    const [first] = emailAddresses
    const found = await clerk.emailAddresses.getEmailAddress(first?.id ?? '')
    isRead(found)
    expect(found.emailAddress).toBe(first?.emailAddress ?? '')
  },
  updateEmailAddress: async () => {
    const { id: userId } = await newUser()
    const made = await clerk.emailAddresses.createEmailAddress({ userId, emailAddress: address() })
    expect(made.verification?.status).toBe('unverified')
    const changed = await clerk.emailAddresses.updateEmailAddress(made.id, { verified: true, primary: true })
    expect(changed.verification?.status).toBe('verified')
    expect((await clerk.users.getUser(userId)).primaryEmailAddressId).toBe(made.id)
    const doubted = await clerk.emailAddresses.updateEmailAddress(made.id, { verified: false })
    expect(doubted.verification?.status).toBe('unverified')
    expect((await clerk.users.getUser(userId)).primaryEmailAddressId).not.toBe(made.id)
    const both = clerk.emailAddresses.updateEmailAddress(made.id, { verified: false, primary: true })
    await expect(both).rejects.toMatchObject({ status: 422 })
  },
  deleteEmailAddress: async () => {
    const { id: userId } = await newUser()
    const made = await clerk.emailAddresses.createEmailAddress({ userId, emailAddress: address(), verified: true })
    expect(await clerk.emailAddresses.deleteEmailAddress(made.id)).toMatchObject({ id: made.id, deleted: true })
  },
})

everyMethodOf('phoneNumbers', () => clerk.phoneNumbers, {
  createPhoneNumber: async () => {
    const { id: userId } = await newUser()
    const phoneNumber = '+12025550163'
    const made = await clerk.phoneNumbers.createPhoneNumber({ userId, phoneNumber, verified: true, primary: true })
    isRead(made)
    expect(made).toMatchObject({ phoneNumber, reservedForSecondFactor: false, verification: { status: 'verified' } })
    expect((await clerk.users.getUser(userId)).primaryPhoneNumberId).toBe(made.id)
  },
  getPhoneNumber: async () => {
    const { id: userId } = await newUser()
    const { id } = await clerk.phoneNumbers.createPhoneNumber({ userId, phoneNumber: '+12025550164' })
    const found = await clerk.phoneNumbers.getPhoneNumber(id)
    isRead(found)
    expect(found).toMatchObject({ phoneNumber: '+12025550164', verification: { status: 'unverified' } })
  },
  updatePhoneNumber: async () => {
    const { id: userId } = await newUser()
    const { id } = await clerk.phoneNumbers.createPhoneNumber({ userId, phoneNumber: '+12025550165' })
    const changed = await clerk.phoneNumbers.updatePhoneNumber(id, { verified: true, reservedForSecondFactor: true })
    expect(changed).toMatchObject({ reservedForSecondFactor: true, verification: { status: 'verified' } })
  },
  deletePhoneNumber: async () => {
    const { id: userId } = await newUser()
    const { id } = await clerk.phoneNumbers.createPhoneNumber({ userId, phoneNumber: '+12025550166', verified: true })
    expect(await clerk.phoneNumbers.deletePhoneNumber(id)).toMatchObject({ id, deleted: true })
  },
})

const newSession = async () => {
  const { id: userId } = await newUser()
  return clerk.sessions.createSession({ userId })
}

everyMethodOf('sessions', () => clerk.sessions, {
  getSessionList: async () => {
    const { id, userId } = await newSession()
    const page = await clerk.sessions.getSessionList({ userId, status: 'active' })
    expect(page).toMatchObject({ totalCount: 1, data: [{ id, userId, status: 'active' }] })
    isRead(page.data[0])
  },
  getSession: async () => {
    const { id } = await newSession()
    isRead(await clerk.sessions.getSession(id))
  },
  createSession: async () => {
    const session = await newSession()
    isRead(session)
    expect(session.status).toBe('active')
  },
  revokeSession: async () => {
    const { id } = await newSession()
    expect((await clerk.sessions.revokeSession(id)).status).toBe('revoked')
  },
  verifySession: async () => {
    const { id } = await newSession()
    const { jwt } = await clerk.sessions.getToken(id)
    expect((await clerk.sessions.verifySession(id, jwt)).status).toBe('active')
    await clerk.sessions.revokeSession(id)
    expect(await codeOf(clerk.sessions.verifySession(id, jwt))).not.toBe('no error')
  },
  getToken: async () => {
    const { id, userId } = await newSession()
    const { jwt } = await clerk.sessions.getToken(id)
    const claims = JSON.parse(atob(jwt.split('.')[1] ?? ''))
    expect(claims).toMatchObject({ sid: id, sub: userId, v: 2 })
    await clerk.jwtTemplates.create({ name: 'every-method', claims: { who: '{{user.id}}' }, lifetime: 120 })
    const fromTemplate = JSON.parse(atob((await clerk.sessions.getToken(id, 'every-method')).jwt.split('.')[1] ?? ''))
    expect(fromTemplate).toMatchObject({ who: userId, sub: userId })
    expect(fromTemplate.exp - fromTemplate.iat).toBe(120)
  },
  refreshSession: async () => {
    const { id } = await newSession()
    const refused = clerk.sessions.refreshSession(id, {
      format: 'cookie',
      expired_token: 'not.a.token',
      refresh_token: 'none',
      request_origin: 'http://localhost:3000',
    })
    await expect(refused).rejects.toMatchObject({ status: 401 })
  },
})

everyMethodOf('clients', () => clerk.clients, {
  getClientList: async () => {
    const { clientId } = await newSession()
    const page = await clerk.clients.getClientList({ limit: 100 })
    expect(page.data.map((c) => c.id)).toContain(clientId)
    isRead(page.data[0])
  },
  getClient: async () => {
    const { clientId, id } = await newSession()
    const client = await clerk.clients.getClient(clientId)
    isRead(client)
    expect(client.sessionIds).toEqual([id])
    isRead(client.sessions[0])
  },
  verifyClient: async () => {
    const { id, clientId } = await newSession()
    const { jwt } = await clerk.sessions.getToken(id)
    const client = await clerk.clients.verifyClient(jwt)
    isRead(client)
    expect(client.id).toBe(clientId)
    expect(await codeOf(clerk.clients.verifyClient('not.a.token'))).not.toBe('no error')
  },
  getHandshakePayload: async () => {
    expect(await codeOf(clerk.clients.getHandshakePayload({ nonce: 'nothing' }))).not.toBe('no error')
  },
})

everyMethodOf('invitations', () => clerk.invitations, {
  getInvitationList: async () => {
    const emailAddress = address()
    await clerk.invitations.createInvitation({ emailAddress })
    const page = await clerk.invitations.getInvitationList({ query: emailAddress, orderBy: '-created_at' })
    expect(page).toMatchObject({ totalCount: 1, data: [{ emailAddress, status: 'pending' }] })
    isRead(page.data[0])
  },
  createInvitation: async () => {
    const emailAddress = address()
    const made = await clerk.invitations.createInvitation({
      emailAddress,
      expiresInDays: 3,
      publicMetadata: { team: 'blue' },
      redirectUrl: 'http://localhost:3000/welcome',
      templateSlug: 'waitlist_invitation',
    })
    isRead(made)
    expect(made).toMatchObject({ emailAddress, status: 'pending', publicMetadata: { team: 'blue' } })
    expect(made.url).toContain('/v1/tickets/accept?ticket=')
    expect(await codeOf(clerk.invitations.createInvitation({ emailAddress }))).toBe('duplicate_record')
  },
  createInvitationBulk: async () => {
    const addresses = [address(), address()]
    const made = await clerk.invitations.createInvitationBulk(addresses.map((emailAddress) => ({ emailAddress })))
    expect(made.map((i) => i.emailAddress)).toEqual(addresses)
    isRead(made[0])
    const again = clerk.invitations.createInvitationBulk([
      { emailAddress: address() },
      { emailAddress: addresses[0] ?? '' },
    ])
    expect(await codeOf(again)).toBe('duplicate_record')
  },
  revokeInvitation: async () => {
    const { id } = await clerk.invitations.createInvitation({ emailAddress: address() })
    expect(await clerk.invitations.revokeInvitation(id)).toMatchObject({ status: 'revoked', revoked: true })
  },
})

everyMethodOf('signInTokens', () => clerk.signInTokens, {
  createSignInToken: async () => {
    const { id: userId } = await newUser()
    const made = await clerk.signInTokens.createSignInToken({ userId, expiresInSeconds: 600 })
    isRead(made)
    expect(made).toMatchObject({ userId, status: 'pending' })
    expect(made.url).toContain(made.token)
  },
  revokeSignInToken: async () => {
    const { id: userId } = await newUser()
    const { id } = await clerk.signInTokens.createSignInToken({ userId, expiresInSeconds: 600 })
    expect((await clerk.signInTokens.revokeSignInToken(id)).status).toBe('revoked')
  },
})

everyMethodOf('actorTokens', () => clerk.actorTokens, {
  create: async () => {
    const [support, user] = [await newUser(), await newUser()]
    const made = await clerk.actorTokens.create({
      userId: user.id,
      actor: { sub: support.id },
      expiresInSeconds: 600,
      sessionMaxDurationInSeconds: 900,
    })
    isRead(made)
    expect(made).toMatchObject({ userId: user.id, status: 'pending', actor: { sub: support.id } })
    expect(made.url).toContain(made.token ?? 'no token')
  },
  revoke: async () => {
    const [support, user] = [await newUser(), await newUser()]
    const made = await clerk.actorTokens.create({ userId: user.id, actor: { sub: support.id } })
    expect((await clerk.actorTokens.revoke(made.id)).status).toBe('revoked')
  },
})

everyMethodOf('jwtTemplates', () => clerk.jwtTemplates, {
  list: async () => {
    const { id } = await clerk.jwtTemplates.create({ name: 'listed', claims: {} })
    const page = await clerk.jwtTemplates.list({ limit: 100 })
    expect(page.data.map((t) => t.id)).toContain(id)
    isRead(page.data[0])
  },
  get: async () => {
    const { id } = await clerk.jwtTemplates.create({ name: 'found', claims: { a: 1 } })
    const found = await clerk.jwtTemplates.get(id)
    isRead(found)
    expect(found).toMatchObject({ name: 'found', claims: { a: 1 } })
  },
  create: async () => {
    const made = await clerk.jwtTemplates.create({
      name: 'shared-key',
      claims: { workspace: '{{org.slug}}' },
      lifetime: 300,
      allowedClockSkew: 10,
      customSigningKey: true,
      signingAlgorithm: 'HS256',
      signingKey: 'a shared key of thirty-two letters or more',
    })
    isRead(made)
    expect(made).toMatchObject({
      lifetime: 300,
      allowedClockSkew: 10,
      customSigningKey: true,
      signingAlgorithm: 'HS256',
    })
    expect(await codeOf(clerk.jwtTemplates.create({ name: 'reserved', claims: { sub: 'somebody' } }))).not.toBe(
      'no error',
    )
  },
  update: async () => {
    const { id: templateId } = await clerk.jwtTemplates.create({ name: 'before', claims: {} })
    const changed = await clerk.jwtTemplates.update({ templateId, name: 'after', claims: { b: 2 }, lifetime: 90 })
    expect(changed).toMatchObject({ name: 'after', claims: { b: 2 }, lifetime: 90 })
  },
  delete: async () => {
    const { id } = await clerk.jwtTemplates.create({ name: 'deleted', claims: {} })
    expect(await clerk.jwtTemplates.delete(id)).toMatchObject({ id, deleted: true })
    expect(await codeOf(clerk.jwtTemplates.get(id))).toBe('resource_not_found')
  },
})

everyMethodOf('allowlistIdentifiers', () => clerk.allowlistIdentifiers, {
  getAllowlistIdentifierList: async () => {
    const { id } = await clerk.allowlistIdentifiers.createAllowlistIdentifier({ identifier: address(), notify: false })
    const page = await clerk.allowlistIdentifiers.getAllowlistIdentifierList({ limit: 100 })
    expect(page.data.map((i) => i.id)).toContain(id)
    isRead(page.data[0])
  },
  createAllowlistIdentifier: async () => {
    const identifier = '*@allowed.example'
    const made = await clerk.allowlistIdentifiers.createAllowlistIdentifier({ identifier, notify: false })
    isRead(made)
    expect(made).toMatchObject({ identifier, identifierType: 'email_address' })
    const again = clerk.allowlistIdentifiers.createAllowlistIdentifier({ identifier, notify: false })
    expect(await codeOf(again)).toBe('duplicate_record')
  },
  deleteAllowlistIdentifier: async () => {
    const { id } = await clerk.allowlistIdentifiers.createAllowlistIdentifier({ identifier: address(), notify: false })
    expect(await clerk.allowlistIdentifiers.deleteAllowlistIdentifier(id)).toMatchObject({ id, deleted: true })
  },
})

everyMethodOf('blocklistIdentifiers', () => clerk.blocklistIdentifiers, {
  getBlocklistIdentifierList: async () => {
    const { id } = await clerk.blocklistIdentifiers.createBlocklistIdentifier({ identifier: address() })
    const page = await clerk.blocklistIdentifiers.getBlocklistIdentifierList({ limit: 100 })
    expect(page.data.map((i) => i.id)).toContain(id)
    isRead(page.data[0])
  },
  createBlocklistIdentifier: async () => {
    const identifier = '+12025550167'
    const made = await clerk.blocklistIdentifiers.createBlocklistIdentifier({ identifier })
    isRead(made)
    expect(made).toMatchObject({ identifier, identifierType: 'phone_number' })
  },
  deleteBlocklistIdentifier: async () => {
    const { id } = await clerk.blocklistIdentifiers.createBlocklistIdentifier({ identifier: address() })
    expect(await clerk.blocklistIdentifiers.deleteBlocklistIdentifier(id)).toMatchObject({ id, deleted: true })
  },
})

everyMethodOf('redirectUrls', () => clerk.redirectUrls, {
  getRedirectUrlList: async () => {
    const { id } = await clerk.redirectUrls.createRedirectUrl({ url: 'myapp://listed' })
    const page = await clerk.redirectUrls.getRedirectUrlList()
    expect(page.data.map((r) => r.id)).toContain(id)
    isRead(page.data[0])
  },
  getRedirectUrl: async () => {
    const { id } = await clerk.redirectUrls.createRedirectUrl({ url: 'myapp://found' })
    const found = await clerk.redirectUrls.getRedirectUrl(id)
    isRead(found)
    expect(found.url).toBe('myapp://found')
  },
  createRedirectUrl: async () => {
    const made = await clerk.redirectUrls.createRedirectUrl({ url: 'https://app.example/callback' })
    isRead(made)
    expect(await codeOf(clerk.redirectUrls.createRedirectUrl({ url: 'javascript:alert(1)' }))).not.toBe('no error')
    expect(await codeOf(clerk.redirectUrls.createRedirectUrl({ url: 'not a url' }))).not.toBe('no error')
  },
  deleteRedirectUrl: async () => {
    const { id } = await clerk.redirectUrls.createRedirectUrl({ url: 'myapp://deleted' })
    expect(await clerk.redirectUrls.deleteRedirectUrl(id)).toMatchObject({ id })
    expect(await codeOf(clerk.redirectUrls.getRedirectUrl(id))).toBe('resource_not_found')
  },
})

everyMethodOf('testingTokens', () => clerk.testingTokens, {
  createTestingToken: async () => {
    const made = await clerk.testingTokens.createTestingToken()
    expect(made.token.length).toBeGreaterThan(20)
    expect(made.expiresAt ?? (made as unknown as { expires_at: number }).expires_at).toBeGreaterThan(Date.now() / 1000)
  },
})

async function signUpOf(emailAddress: string) {
  const { origin } = new URL(usher.ready.url)
  const response = await fetch(`${usher.ready.url}/v1/client/sign_ups`, {
    method: 'POST',
    headers: { origin },
    body: new URLSearchParams({ email_address: emailAddress }),
  })
  return ((await response.json()) as { response: { id: string } }).response.id
}

everyMethodOf('signUps', () => clerk.signUps, {
  get: async () => {
    const emailAddress = address()
    const found = await clerk.signUps.get(await signUpOf(emailAddress))
    isRead(found)
    expect(found).toMatchObject({ status: 'missing_requirements', emailAddress, missingFields: ['password'] })
    expect(found.verifications?.emailAddress?.nextAction).toBe('needs_prepare')
    expect(await codeOf(clerk.signUps.get('sua_unknown'))).toBe('resource_not_found')
  },
  update: async () => {
    const signUpAttemptId = await signUpOf(address())
    const changed = await clerk.signUps.update({ signUpAttemptId, externalId: 'crm-7', customAction: true })
    isRead(changed)
    expect(changed).toMatchObject({ externalId: 'crm-7', customAction: true })
    await newUser({ externalId: 'crm-8' })
    const taken = clerk.signUps.update({ signUpAttemptId, externalId: 'crm-8' })
    expect(await codeOf(taken)).toBe('form_identifier_exists')
  },
})

everyMethodOf('waitlistEntries', () => clerk.waitlistEntries, {
  list: async () => {
    const emailAddress = address()
    await clerk.waitlistEntries.create({ emailAddress, notify: false })
    const page = await clerk.waitlistEntries.list({ query: emailAddress, status: 'pending', orderBy: '-created_at' })
    expect(page).toMatchObject({ totalCount: 1, data: [{ emailAddress, status: 'pending' }] })
    isRead(page.data[0])
  },
  create: async () => {
    const emailAddress = address()
    const made = await clerk.waitlistEntries.create({ emailAddress })
    isRead(made)
    expect(made).toMatchObject({ emailAddress, status: 'pending', invitation: null })
  },
  createBulk: async () => {
    const addresses = [address(), address()]
    const made = await clerk.waitlistEntries.createBulk(addresses.map((emailAddress) => ({ emailAddress })))
    expect(made.map((e) => e.emailAddress).sort()).toEqual(addresses.sort())
  },
  invite: async () => {
    const { id } = await clerk.waitlistEntries.create({ emailAddress: address() })
    const invited = await clerk.waitlistEntries.invite(id)
    expect(invited.status).toBe('invited')
    isRead(invited.invitation)
  },
  reject: async () => {
    const { id } = await clerk.waitlistEntries.create({ emailAddress: address() })
    expect((await clerk.waitlistEntries.reject(id)).status).toBe('rejected')
  },
  delete: async () => {
    const { id } = await clerk.waitlistEntries.create({ emailAddress: address() })
    expect(await clerk.waitlistEntries.delete(id)).toMatchObject({ id, deleted: true })
  },
})

everyMethodOf('domains', () => clerk.domains, {
  list: async () => {
    const page = await clerk.domains.list()
    expect(page.totalCount).toBeGreaterThan(0)
    isRead(page.data[0])
    expect(page.data[0]).toMatchObject({ isSatellite: false })
  },
  add: async () => {
    const made = await clerk.domains.add({ name: 'satellite-a.example', is_satellite: true })
    isRead(made)
    expect(made).toMatchObject({ name: 'satellite-a.example', isSatellite: true })
  },
  update: async () => {
    const { id: domainId } = await clerk.domains.add({ name: 'satellite-b.example', is_satellite: true })
    const changed = await clerk.domains.update({ domainId, name: 'satellite-c.example' })
    expect(changed.name).toBe('satellite-c.example')
  },
  delete: async () => {
    const { id } = await clerk.domains.add({ name: 'satellite-d.example', is_satellite: true })
    expect(await clerk.domains.delete(id)).toMatchObject({ id, deleted: true })
    const [primary] = (await clerk.domains.list()).data.filter((d) => !d.isSatellite)
    expect(await codeOf(clerk.domains.delete(primary?.id ?? ''))).not.toBe('no error')
  },
  deleteDomain: async () => {
    const { id } = await clerk.domains.add({ name: 'satellite-e.example', is_satellite: true })
    expect(await clerk.domains.deleteDomain(id)).toMatchObject({ id, deleted: true })
  },
})

/** A machine, and the SDK with its key. */
const newMachine = async (more: { scopedMachines?: string[] } = {}) => {
  const machine = await clerk.machines.create({ name: 'Cron', ...more })
  return { machine, machineSecretKey: machine.secretKey as string }
}

everyMethodOf('machines', () => clerk.machines, {
  get: async () => {
    const { machine } = await newMachine()
    const found = await clerk.machines.get(machine.id)
    isRead(found)
    expect(found).toMatchObject({ id: machine.id, name: 'Cron', scopedMachines: [], defaultTokenTtl: 3600 })
    expect(await codeOf(clerk.machines.get('mch_nobody'))).toBe('resource_not_found')
  },
  list: async () => {
    const { machine } = await newMachine()
    const page = await clerk.machines.list({ query: machine.id })
    isRead(page.data[0])
    expect(page).toMatchObject({ totalCount: 1, data: [{ id: machine.id }] })
  },
  create: async () => {
    const { machine, machineSecretKey } = await newMachine()
    isRead(machine)
    expect(machineSecretKey).toStartWith('ak_')
  },
  update: async () => {
    const { machine } = await newMachine()
    expect((await clerk.machines.update({ machineId: machine.id, name: 'Clock' })).name).toBe('Clock')
  },
  delete: async () => {
    const { machine } = await newMachine()
    await clerk.machines.delete(machine.id)
    expect(await codeOf(clerk.machines.get(machine.id))).toBe('resource_not_found')
  },
  getSecretKey: async () => {
    const { machine, machineSecretKey } = await newMachine()
    const found = await clerk.machines.getSecretKey(machine.id)
    isRead(found)
    expect(found.secret).toBe(machineSecretKey)
  },
  rotateSecretKey: async () => {
    const { machine, machineSecretKey } = await newMachine()
    const made = await clerk.machines.rotateSecretKey({ machineId: machine.id, previousTokenTtl: 0 })
    isRead(made)
    expect(made.secret).not.toBe(machineSecretKey)
  },
  createScope: async () => {
    const [{ machine: from }, { machine: to }] = [await newMachine(), await newMachine()]
    const scope = await clerk.machines.createScope(from.id, to.id)
    isRead(scope)
    expect(scope).toMatchObject({ fromMachineId: from.id, toMachineId: to.id })
    expect((await clerk.machines.get(from.id)).scopedMachines.map(({ id }) => id)).toEqual([to.id])
  },
  deleteScope: async () => {
    const { machine: to } = await newMachine()
    const { machine: from } = await newMachine({ scopedMachines: [to.id] })
    await clerk.machines.deleteScope(from.id, to.id)
    expect(await codeOf(clerk.machines.deleteScope(from.id, to.id))).toBe('resource_not_found')
  },
})

everyMethodOf('m2m', () => clerk.m2m, {
  list: async () => {
    const { machine, machineSecretKey } = await newMachine()
    const { id } = await clerk.m2m.createToken({ machineSecretKey })
    const page = await clerk.m2m.list({ machineSecretKey, subject: machine.id })
    isRead(page.data[0])
    expect(page).toMatchObject({ totalCount: 1, data: [{ id }] })
  },
  createToken: async () => {
    const { machine, machineSecretKey } = await newMachine()
    const made = await clerk.m2m.createToken({ machineSecretKey, claims: { a: 1 } })
    isRead(made)
    expect(made).toMatchObject({ subject: machine.id, claims: { a: 1 }, token: expect.stringMatching(/^mt_/) })
  },
  revokeToken: async () => {
    const { machineSecretKey } = await newMachine()
    const { id } = await clerk.m2m.createToken({ machineSecretKey })
    const revoked = await clerk.m2m.revokeToken({ m2mTokenId: id })
    isRead(revoked)
    expect(revoked.revoked).toBe(true)
  },
  verify: async () => {
    const { machine, machineSecretKey } = await newMachine()
    const { token } = await clerk.m2m.createToken({ machineSecretKey })
    const found = await clerk.m2m.verify({ token: token as string })
    isRead(found)
    expect(found.subject).toBe(machine.id)
  },
})

everyMethodOf('apiKeys', () => clerk.apiKeys, {
  list: async () => {
    const { id: subject } = await newUser()
    const { id } = await clerk.apiKeys.create({ name: 'listed', subject })
    const page = await clerk.apiKeys.list({ subject, includeInvalid: true })
    isRead(page.data[0])
    expect(page).toMatchObject({ totalCount: 1, data: [{ id, secret: undefined }] })
  },
  create: async () => {
    const { id: subject } = await newUser()
    const made = await clerk.apiKeys.create({ name: 'new', subject, createdBy: subject, secondsUntilExpiration: 3600 })
    isRead(made)
    expect(made).toMatchObject({ type: 'api_key', subject, createdBy: subject, expired: false, revoked: false })
    expect(made.secret).toStartWith('ak_')
    expect(await codeOf(clerk.apiKeys.create({ name: 'new', subject }))).toBe('token_creation_conflict')
    expect(await codeOf(clerk.apiKeys.create({ name: 'new', subject: 'user_nobody' }))).toBe('form_param_value_invalid')
  },
  get: async () => {
    const { id: subject } = await newUser()
    const { id } = await clerk.apiKeys.create({ name: 'got', subject })
    const key = await clerk.apiKeys.get(id)
    isRead(key)
    expect(key).toMatchObject({ id, name: 'got', scopes: [], claims: null, lastUsedAt: null })
  },
  update: async () => {
    const { id: subject } = await newUser()
    const { id: apiKeyId } = await clerk.apiKeys.create({ name: 'changed', subject })
    const changed = await clerk.apiKeys.update({ apiKeyId, subject, description: 'new', scopes: ['read'] })
    isRead(changed)
    expect(changed).toMatchObject({ description: 'new', scopes: ['read'] })
  },
  delete: async () => {
    const { id: subject } = await newUser()
    const { id } = await clerk.apiKeys.create({ name: 'deleted', subject })
    expect(await clerk.apiKeys.delete(id)).toMatchObject({ id, deleted: true })
    expect(await codeOf(clerk.apiKeys.get(id))).toBe('resource_not_found')
  },
  revoke: async () => {
    const { id: subject } = await newUser()
    const { id: apiKeyId } = await clerk.apiKeys.create({ name: 'revoked', subject })
    const revoked = await clerk.apiKeys.revoke({ apiKeyId, revocationReason: 'leaked' })
    isRead(revoked)
    expect(revoked).toMatchObject({ revoked: true, revocationReason: 'leaked' })
  },
  getSecret: async () => {
    const { id: subject } = await newUser()
    const { id } = await clerk.apiKeys.create({ name: 'secret', subject })
    // Kept only where the settings say so.
    expect(await codeOf(clerk.apiKeys.getSecret(id))).toBe('api_key_secret_not_kept')
  },
  verify: async () => {
    const { id: subject } = await newUser()
    const { id, secret = '' } = await clerk.apiKeys.create({ name: 'verified', subject })
    const key = await clerk.apiKeys.verify(secret)
    isRead(key)
    expect(key).toMatchObject({ id, subject })
    expect(await codeOf(clerk.apiKeys.verify('ak_nothing'))).toBe('resource_not_found')
  },
})

everyMethodOf('webhooks', () => clerk.webhooks, {
  createSvixApp: async () => {
    const { svix_url: url } = await clerk.webhooks.createSvixApp()
    expect(url).toStartWith(`${usher.ready.url}/webhooks/portal/open#`)
  },
  generateSvixAuthURL: async () => {
    const links = [await clerk.webhooks.generateSvixAuthURL(), await clerk.webhooks.generateSvixAuthURL()]
    expect(new Set(links.map(({ svix_url: url }) => new URL(url).hash)).size).toBe(2)
  },
  deleteSvixApp: async () => {
    expect(await clerk.webhooks.deleteSvixApp()).toBeUndefined()
  },
})

// Last: it changes the settings that the others go by.
everyMethodOf('instance', () => clerk.instance, {
  get: async () => {
    const found = await clerk.instance.get()
    isRead(found)
    expect(found.environmentType).toBe('development')
  },
  update: async () => {
    await clerk.instance.update({ supportEmail: 'help@example.com', allowedOrigins: ['https://app.example'] })
    expect((await clerk.instance.get()).allowedOrigins).toEqual(['https://app.example'])
  },
  updateRestrictions: async () => {
    const changed = await clerk.instance.updateRestrictions({ blocklist: true, blockEmailSubaddresses: true })
    isRead(changed)
    expect(changed).toMatchObject({ blocklist: true, blockEmailSubaddresses: true, allowlist: false })
    await clerk.instance.updateRestrictions({ blocklist: false, blockEmailSubaddresses: false })
  },
  getOrganizationSettings: async () => {
    isRead(await clerk.instance.getOrganizationSettings())
  },
  updateOrganizationSettings: async () => {
    const changed = await clerk.instance.updateOrganizationSettings({ maxAllowedMemberships: 7 })
    isRead(changed)
    expect(changed).toMatchObject({ enabled: true, maxAllowedMemberships: 7, creatorRole: 'org:admin' })
  },
})
