import { VaultError } from './errors.ts'

export type WrapKind = 'password' | 'recovery' | 'passkey' | 'device'

export type PublicKeysJson = {
  user_id: string
  public_key: string
  sign_public_key: string
  key_signature: string
}

export type VaultJson = {
  instance_id: string
  user_id: string
  created: boolean
  public_key?: string
  sign_public_key?: string
  key_signature?: string
  private_keys?: string
  version?: number
  wraps?: { kind: WrapKind; name: string; created_at: number }[]
}

export type WrapJson = { kind: WrapKind; name: string; parameters: string | null; sealed: string; challenge: string }

export type DocumentKeysJson = {
  doc_id: string
  access: 'read' | 'write'
  created: boolean
  epoch: number
  pending_since: number | null
  rotation_due: 'removal' | 'age' | null
  keys: { epoch: number; sealed: string; signature: string; created_by: string; key_hash: string }[]
  readers: (PublicKeysJson & { has_key: boolean })[]
  givers: PublicKeysJson[]
}

export type PairingJson = { id: string; offer: string | null; reveal: string | null; approved: boolean }

export type GrantJson = { user_id: string; epoch: number; sealed: string; signature: string }

export type VaultApi = <T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown) => Promise<T>

/**
 * Asks the server for what it keeps.
 *
 * @param options.url the server's origin, e.g. `https://usher.example.com`
 * @param options.getSessionToken of the signed-in person; asked for before each request
 */
export function vaultApi(options: {
  url: string
  getSessionToken: () => Promise<string>
  fetch?: typeof globalThis.fetch
}): VaultApi {
  const base = `${options.url.replace(/\/+$/, '')}/v1/vault`
  const send = options.fetch ?? ((...args: Parameters<typeof globalThis.fetch>) => globalThis.fetch(...args))
  return async (method, path, body) => {
    const response = await send(base + path, {
      method,
      headers: {
        authorization: `Bearer ${await options.getSessionToken()}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const answer = await response.json().catch(() => undefined)
    if (response.ok) return answer
    const [error] = answer?.errors ?? []
    throw new VaultError(error?.code ?? 'unavailable', error?.message ?? 'The server did not answer.', {
      meta: error?.meta ?? {},
    })
  }
}
