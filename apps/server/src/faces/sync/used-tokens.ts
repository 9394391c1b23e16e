import { UsedTokens } from '../../domains/sync/index.ts'
import type { Runtime } from '../../runtime.ts'

const used = new WeakMap<Runtime, UsedTokens>()

/** Tokens that may be used once, at whichever door of this server. */
export function usedTokensOf(runtime: Runtime): UsedTokens {
  let tokens = used.get(runtime)
  if (!tokens) {
    tokens = new UsedTokens(runtime.cluster)
    used.set(runtime, tokens)
  }
  return tokens
}
