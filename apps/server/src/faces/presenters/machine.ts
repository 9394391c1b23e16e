import type { M2mToken, Machine, MachineScope } from '../../domains/machines/index.ts'

/** @param secretKey only for whoever just made the machine */
export function presentMachine(machine: Machine, secretKey?: string) {
  return {
    ...presentRow(machine),
    scoped_machines: machine.scopedMachines.map(presentRow),
    ...(secretKey !== undefined && { secret_key: secretKey }),
  }
}

/** A machine among another's scopes. Its own are not shown there. */
const presentRow = (row: Machine['scopedMachines'][number]) => ({
  object: 'machine' as const,
  id: row.id,
  name: row.name,
  instance_id: row.instanceId,
  default_token_ttl: row.defaultTokenTtl,
  scoped_machines: [] as object[],
  created_at: row.createdAt.getTime(),
  updated_at: row.updatedAt.getTime(),
})

export function presentMachineScope(scope: MachineScope) {
  return {
    object: 'machine_scope' as const,
    from_machine_id: scope.fromMachineId,
    to_machine_id: scope.toMachineId,
    created_at: scope.createdAt.getTime(),
  }
}

/** @param token only for the machine that it is of, when it is made */
export function presentM2mToken(m2mToken: M2mToken, token?: string) {
  return {
    object: 'machine_to_machine_token' as const,
    id: m2mToken.id,
    subject: m2mToken.machineId,
    scopes: m2mToken.scopes,
    claims: m2mToken.claims,
    revoked: m2mToken.revokedAt !== null,
    revocation_reason: m2mToken.revocationReason,
    expired: m2mToken.expired,
    expiration: m2mToken.expiresAt.getTime(),
    created_at: m2mToken.createdAt.getTime(),
    updated_at: m2mToken.updatedAt.getTime(),
    ...(token !== undefined && { token }),
  }
}
