import { createEgress } from '../../kernel/egress.ts'

/** A provider of challenges that speaks Turnstile's API. Each kind of widget has keys of its own there. */
export type ChallengeProvider = {
  /** Where answers are verified. */
  url: string
  smart: { siteKey: string; secret: string }
  invisible: { siteKey: string; secret: string }
}

export type ChallengeAnswer = { token: string; widget: 'smart' | 'invisible'; ipAddress: string }

export type Challenge = {
  /** Public keys, for the widget in the browser. */
  siteKeys: { smart: string; invisible: string }
  /** Asks the provider about an answer. @throws {Error} when it cannot be asked */
  verify: (answer: ChallengeAnswer) => Promise<boolean>
}

/** Opens a provider of challenges. */
export function openChallenge(provider: ChallengeProvider): Challenge {
  // The operator has named this one place, wherever it is; it opens nothing to addresses that others name.
  const egress = createEgress({ allow: [new URL(provider.url).host] })
  return {
    siteKeys: { smart: provider.smart.siteKey, invisible: provider.invisible.siteKey },
    async verify({ token, widget, ipAddress }) {
      const answer = await egress(provider.url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
        body: new URLSearchParams({
          secret: provider[widget].secret,
          response: token,
          remoteip: ipAddress,
        }).toString(),
        timeoutMs: 5000,
        maxBytes: 64 * 1024,
      })
      const said = parse(answer.text)
      if (typeof said?.success !== 'boolean') throw new Error(`the answer has status ${answer.status} and says nothing`)
      // Our own mistake, and nobody's who signs up.
      if (said.errors.some((code) => code.endsWith('-input-secret'))) throw new Error('the secret is not accepted')
      return said.success
    },
  }
}

function parse(text: string): { success: unknown; errors: string[] } | undefined {
  try {
    const value = JSON.parse(text)
    const errors = Array.isArray(value['error-codes']) ? value['error-codes'].map(String) : []
    return { success: value.success, errors }
  } catch {
    return undefined
  }
}
