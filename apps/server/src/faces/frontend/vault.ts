import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { isDocId } from '../../domains/sync/index.ts'
import {
  advancePairing,
  confirmUnlock,
  createPairing,
  createVault,
  deleteVault,
  deleteWrap,
  Epoch,
  findVault,
  getDocumentKeys,
  getPairing,
  giveDocumentKeys,
  KeyGrants,
  KeyHash,
  KeyRecord,
  PairingId,
  PairingValue,
  refuseDocumentKey,
  rotateDocumentKey,
  SealedUserKey,
  Signature,
  setWrap,
  takePairing,
  takeWrap,
  VaultKeys,
  VaultVersion,
  VaultWrap,
  WrapName,
} from '../../domains/vault/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { jsonResponse } from '../http.ts'
import { presentDocumentKeys, presentPairing, presentVault } from '../presenters/vault.ts'
import { type FrontendEnv, requireSession } from './context.ts'
import { parseForm } from './forms.ts'
import { refuseImpersonator } from './impersonation.ts'

/** Forms carry JSON as text. */
const json = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => {
    if (typeof value !== 'string') return value
    try {
      return JSON.parse(value)
    } catch {
      return undefined
    }
  }, schema)

const DocId = z.string().refine(isDocId)
const Kind = z.enum(['password', 'recovery', 'passkey', 'device'])
const CreateInput = z.object({ keys: json(VaultKeys), wraps: json(z.array(VaultWrap).min(1).max(10)) })
const UnlockInput = z.object({ kind: Kind, name: WrapName.default('') })
const UnlockedInput = z.object({ signature: Signature })
const WrapInput = z.object({ version: VaultVersion, wrap: json(VaultWrap), signature: Signature })
const DeleteWrapInput = UnlockInput.extend({ version: VaultVersion, signature: Signature })
const GiveInput = z.object({ doc_id: DocId, grants: json(KeyGrants), key_hash: KeyHash.optional() })
const RotateInput = GiveInput.extend({
  from: Epoch,
  key_hash: KeyHash,
  key_record: KeyRecord,
  reason: z.enum(['removal', 'role', 'compromise', 'device', 'age']),
})
const RefuseInput = z.object({ doc_id: DocId, epoch: Epoch })
const PairingInput = z.object({ id: PairingId })
const stepInputs = {
  offer: z.object({ value: PairingValue }),
  reveal: z.object({ value: PairingValue }),
  sealed: z.object({ value: SealedUserKey }),
}

/** Requests a minute to any part of a vault, for one person. */
const limit = { max: 300, windowMs: 60_000 }

/** `/v1/vault`: keys of encrypted documents, all of them sealed before they come here. */
export function vaultRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  const guard = async (c: Context<FrontendEnv>, next: () => Promise<void>) => {
    const { userId } = requireSession(c)
    refuseImpersonator(c)
    const { instance, database, now } = c.var.ctx
    countAttempt(database, `vault:${instance.id}:${userId}`, limit, now())
    await next()
  }
  routes.use('/vault', guard)
  routes.use('/vault/*', guard)
  const vaultOf = async (c: Context<FrontendEnv>) => {
    const { userId } = requireSession(c)
    return jsonResponse(presentVault(c.var.instance.id, userId, await findVault(c.var.ctx, userId)))
  }

  routes.get('/vault', vaultOf)
  routes.post('/vault', async (c) => {
    const { userId } = requireSession(c)
    await createVault(c.var.ctx, { userId, ...(await parseForm(c, CreateInput)) })
    return vaultOf(c)
  })
  routes.delete('/vault', async (c) => {
    const { userId } = requireSession(c)
    await deleteVault(c.var.ctx, userId)
    return vaultOf(c)
  })
  routes.post('/vault/unlock', async (c) => {
    const { userId } = requireSession(c)
    const { wrap, challenge } = await takeWrap(c.var.ctx, { userId, ...(await parseForm(c, UnlockInput)) })
    const { kind, name, parameters, sealed } = wrap
    return jsonResponse({ object: 'vault_wrap', kind, name, parameters, sealed, challenge })
  })
  routes.post('/vault/unlocked', async (c) => {
    const { userId } = requireSession(c)
    await confirmUnlock(c.var.ctx, { userId, ...(await parseForm(c, UnlockedInput)) })
    return vaultOf(c)
  })
  routes.put('/vault/wraps', async (c) => {
    const { userId } = requireSession(c)
    await setWrap(c.var.ctx, { userId, ...(await parseForm(c, WrapInput)) })
    return vaultOf(c)
  })
  routes.post('/vault/wraps/delete', async (c) => {
    const { userId } = requireSession(c)
    await deleteWrap(c.var.ctx, { userId, ...(await parseForm(c, DeleteWrapInput)) })
    return vaultOf(c)
  })

  const keysOf = async (c: Context<FrontendEnv>, docId: string) => {
    const { userId } = requireSession(c)
    return jsonResponse(presentDocumentKeys(await getDocumentKeys(c.var.ctx, { userId, docId })))
  }
  routes.get('/vault/document_keys', async (c) => {
    const docId = DocId.safeParse(c.req.query('doc_id')).data
    if (docId === undefined)
      throw new UsherError('form_param_format_invalid', 'doc_id is invalid.', { param: 'doc_id' })
    return keysOf(c, docId)
  })
  routes.post('/vault/document_keys', async (c) => {
    const { userId } = requireSession(c)
    const { doc_id: docId, grants, key_hash: keyHash } = await parseForm(c, GiveInput)
    await giveDocumentKeys(c.var.ctx, { userId, docId, grants, keyHash })
    return keysOf(c, docId)
  })
  routes.post('/vault/document_keys/rotate', async (c) => {
    const { userId } = requireSession(c)
    const { doc_id: docId, key_record: record, key_hash: keyHash, ...input } = await parseForm(c, RotateInput)
    const keyRecord = new Uint8Array(Buffer.from(record, 'base64url'))
    await rotateDocumentKey(c.var.ctx, { userId, docId, keyRecord, keyHash, ...input })
    return keysOf(c, docId)
  })

  routes.post('/vault/document_keys/refuse', async (c) => {
    const { userId } = requireSession(c)
    const { doc_id: docId, epoch } = await parseForm(c, RefuseInput)
    await refuseDocumentKey(c.var.ctx, { userId, docId, epoch })
    return keysOf(c, docId)
  })

  routes.post('/vault/pairings', async (c) => {
    const { userId } = requireSession(c)
    const { id } = await parseForm(c, PairingInput)
    return jsonResponse(presentPairing(await createPairing(c.var.ctx, { userId, id })))
  })
  routes.get('/vault/pairings/:id', async (c) => {
    const { userId } = requireSession(c)
    return jsonResponse(presentPairing(await getPairing(c.var.ctx, { userId, id: c.req.param('id') })))
  })
  routes.put('/vault/pairings/:id/:step', async (c) => {
    const { userId } = requireSession(c)
    const { id, step } = c.req.param()
    if (!isStep(step)) throw new UsherError('resource_not_found', 'There is no such step.')
    const { value } = await parseForm(c, stepInputs[step])
    return jsonResponse(presentPairing(await advancePairing(c.var.ctx, { userId, id, step, value })))
  })
  routes.post('/vault/pairings/:id/take', async (c) => {
    const { userId } = requireSession(c)
    const sealed = await takePairing(c.var.ctx, { userId, id: c.req.param('id') })
    return jsonResponse({ object: 'vault_pairing_key', sealed: sealed ?? null })
  })
  return routes
}

const isStep = (step: string): step is keyof typeof stepInputs => Object.hasOwn(stepInputs, step)
