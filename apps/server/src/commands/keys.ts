import type { Config } from '../config.ts'
import { maxJwtTtl } from '../domains/machines/index.ts'
import { longestTokenLifetime } from '../domains/sessions/index.ts'
import { createCtx } from '../runtime.ts'
import { findInstance, withRuntime } from './instances.ts'

type Flags = { json?: boolean | undefined; instance?: string | undefined; revoke?: boolean | undefined }

/**
 * `usher keys rotate`: a new signing key. Nobody is signed out: what the old one signed stays valid until it expires,
 * unless `--revoke` says that somebody else has the old one.
 */
export function rotateKeys(config: Config, flags: Flags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const { instances } = runtime
    const instance = findInstance(instances, flags.instance)
    const ctx = createCtx(runtime, instance, { type: 'system', job: 'operator' })
    const { kid, retiring } = await instances.rotateSigningKey({
      instanceId: instance.id,
      longestLifetime: Math.max(await longestTokenLifetime(ctx), maxJwtTtl),
      ...(flags.revoke && { revoke: true }),
    })
    if (flags.json) {
      const old = retiring.map((k) => ({ kid: k.kid, until: k.until?.getTime() ?? null }))
      return console.log(JSON.stringify({ instance: instance.name, kid, retiring: old }))
    }
    const lines = retiring.map(({ kid: old, until }) =>
      until
        ? `Old key          ${old}, verifies until ${until.toISOString()}`
        : `Old key          ${old}, gone at once`,
    )
    console.log([`Signing key      ${kid}`, ...lines].join('\n'))
  })
}
