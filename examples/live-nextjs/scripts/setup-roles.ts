/**
 * Creates what this app needs to know about roles: the permissions `org:chat:read` and `org:chat:write`, the role
 * `org:reader`, and who has which. Run it once an instance, or as often as you like: it only adds what is missing.
 *
 *   npm run setup-roles        (reads CLERK_SECRET_KEY and CLERK_API_URL from the environment or .env.local)
 */
import { createClerkClient } from '@clerk/backend'

const secretKey = process.env.CLERK_SECRET_KEY
const apiUrl = process.env.CLERK_API_URL
if (!secretKey || !apiUrl) {
  console.error('CLERK_SECRET_KEY and CLERK_API_URL are needed. See .env.example.')
  process.exit(1)
}
const { organizationRoles, organizationPermissions } = createClerkClient({ secretKey, apiUrl })

const permissions = {
  'org:chat:read': {
    name: 'Read the chat',
    description: 'See the chat, who is here, and the ciphertext of the secret note.',
  },
  'org:chat:write': { name: 'Write in the chat', description: 'Write in the chat, wave, and change the secret note.' },
} as const

const grants: Record<string, (keyof typeof permissions)[]> = {
  'org:admin': ['org:chat:read', 'org:chat:write'],
  'org:member': ['org:chat:read', 'org:chat:write'],
  'org:reader': ['org:chat:read'],
}

const permissionIds = new Map<string, string>()
for (const [key, { name, description }] of Object.entries(permissions)) {
  const { data } = await organizationPermissions.getOrganizationPermissionList({ query: key, limit: 100 })
  const permission =
    data.find((p) => p.key === key) ??
    (await organizationPermissions.createOrganizationPermission({ key, name, description }))
  permissionIds.set(key, permission.id)
}

for (const [key, allowed] of Object.entries(grants)) {
  const role = (await findRole(key)) ?? (await createReader(key))
  const held = new Set(role.permissions.map((p) => p.key))
  for (const permission of allowed) {
    if (held.has(permission)) continue
    await organizationRoles.assignPermissionToOrganizationRole({
      organizationRoleId: role.id,
      permissionId: permissionIds.get(permission) as string,
    })
  }
  console.log(`${key}: ${allowed.join(', ')}`)
}

async function findRole(key: string) {
  const { data } = await organizationRoles.getOrganizationRoleList({ query: key, limit: 100 })
  return data.find((role) => role.key === key)
}

async function createReader(key: string) {
  if (key !== 'org:reader') throw new Error(`The instance has no role ${key}.`)
  return organizationRoles.createOrganizationRole({
    key,
    name: 'Reader',
    description: 'Sees everything, changes nothing.',
    includeInInitialRoleSet: true,
  })
}
