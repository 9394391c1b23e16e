import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { completeSettings, type InstanceSettings, replaceStoredSettings } from '../instances/index.ts'
import { beyond } from './canonical.ts'
import { type PartName, parts } from './parts.ts'
import { completed, type Plan, planChanges, type State, touched } from './plan.ts'
import type { Configuration } from './schema.ts'
import { lockState } from './state.ts'

/** Changes that an event names. */
const maxTold = 200

/** What would change if a file were applied now. */
export function planConfiguration(ctx: Ctx | Tx, wanted: Configuration): Promise<Plan> {
  return transaction(ctx, async (tx) => planChanges(await lockState(tx), wanted))
}

/** What an instance is, as a file would say it. */
export function readConfiguration(ctx: Ctx | Tx): Promise<State> {
  return transaction(ctx, lockState)
}

/**
 * Makes an instance what a file says, in one transaction: all of it, or nothing. Of two at once the second waits, and
 * finds what the first has made.
 *
 * @param confirmed the plan that somebody said yes to; when the instance has changed since, nothing is done
 * @throws {UsherError} `conflict` if another plan would be carried out than the confirmed one;
 *   `form_param_value_invalid` where the plan has problems; and what the changed things' own verbs throw
 */
export function applyConfiguration(ctx: Ctx | Tx, said: Configuration, confirmed?: Plan): Promise<Plan> {
  return transaction(ctx, async (tx) => {
    const held = await lockState(tx)
    const wanted = completed(held, said)
    const plan = planChanges(held, wanted)
    if (confirmed && JSON.stringify(confirmed.changes) !== JSON.stringify(plan.changes))
      throw new UsherError(
        'conflict',
        'The instance was changed meanwhile, so this plan is out of date. Make a new one.',
      )
    if (plan.problems.length > 0)
      throw new UsherError('form_param_value_invalid', plan.problems.map((problem) => `  - ${problem}`).join('\n'))
    if (plan.changes.length === 0) return plan
    // Verbs that look at the settings see those that will be.
    const next = wanted.settings ? { ...tx, instance: { ...tx.instance, settings: wanted.settings } } : tx
    const work = parts.map((part) => ({ part, ...touched(held, wanted, part.name) }))
    for (const { part, written } of work)
      for (const key of written)
        await at(part.name, key, part.write(next, key, wanted[part.name as PartName]?.[key], wanted))
    // What others refer to goes after those that refer to it.
    for (const { part, removed } of work.toReversed())
      for (const key of removed) await at(part.name, key, part.remove(next, key))
    if (wanted.settings) await replaceStoredSettings(tx, storedForm(tx.instance.name, wanted.settings))
    // Running servers read the instance again by this, and the log says what was changed, without the values.
    const changes = plan.changes.map(({ action, path }) => `${action} ${path}`).slice(0, maxTold)
    emit(tx, { type: 'instance.updated', subject: tx.instance.id, data: { changes } })
    await refuseMissingRoles(tx)
    return plan
  })
}

/** Only what differs from the defaults, so that better defaults of a later version arrive. */
function storedForm(instanceName: string, settings: InstanceSettings): Partial<InstanceSettings> {
  return (beyond(completeSettings(instanceName, {}), settings) ?? {}) as Partial<InstanceSettings>
}

/** Says which entry of the file it was that a verb refused. */
async function at<T>(part: PartName, key: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof UsherError)) throw error
    throw new UsherError(error.code, `${part}.${key}: ${error.message}`, error.details)
  }
}

/** New organizations get their roles by these keys: without them nobody could make one. */
async function refuseMissingRoles(tx: Tx): Promise<void> {
  const { settings, roles } = await lockState(tx)
  for (const name of ['creatorRole', 'defaultRole'] as const)
    if (!roles[settings.organizations[name]])
      throw new UsherError(
        'form_param_value_invalid',
        `settings.organizations.${name}: there is no role "${settings.organizations[name]}".`,
      )
}
