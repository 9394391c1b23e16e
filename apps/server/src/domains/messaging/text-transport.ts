import type { Outcome, Transport } from './sender.ts'

/** How to reach a provider of text messages that speaks Twilio's API. */
export type TextProvider = {
  /** Base URL, without a trailing slash. */
  url: string
  accountSid: string
  /** Who calls: the account itself, or one of its API keys. */
  user: string
  secret: string
  /** A number in E.164, a sender's name, or a messaging service (`MG…`). */
  from: string
}

const patienceMs = 15_000

/** Text messages through an HTTP API in Twilio's form. */
export function textTransport(provider: TextProvider): Transport {
  const url = `${provider.url}/2010-04-01/Accounts/${encodeURIComponent(provider.accountSid)}/Messages.json`
  const authorization = `Basic ${Buffer.from(`${provider.user}:${provider.secret}`).toString('base64')}`
  const sender = /^MG[0-9a-f]{32}$/i.test(provider.from) ? 'MessagingServiceSid' : 'From'
  return {
    channel: 'sms',
    async deliver({ toAddress, text }) {
      try {
        const response = await fetch(url, {
          method: 'POST',
          headers: { authorization, accept: 'application/json' },
          body: new URLSearchParams({ To: toAddress, Body: text, [sender]: provider.from }),
          // A redirect would carry the password elsewhere.
          redirect: 'manual',
          signal: AbortSignal.timeout(patienceMs),
        })
        return await outcomeOf(response)
      } catch (error) {
        return { result: 'later', reason: (error as Error).name === 'TimeoutError' ? 'timeout' : 'unreachable' }
      }
    },
    close: () => {},
  }
}

async function outcomeOf(response: Response): Promise<Outcome> {
  const answer = (await response.json().catch(() => undefined)) as { code?: unknown } | undefined
  if (response.ok) return { result: 'sent' }
  const detail = typeof answer?.code === 'number' ? `_${answer.code}` : ''
  const reason = `http_${response.status}${detail}`
  if (response.status !== 408 && response.status !== 429 && response.status < 500) return { result: 'refused', reason }
  const after = Number(response.headers.get('retry-after') ?? Number.NaN)
  return { result: 'later', reason, afterSeconds: after > 0 && after < 3600 ? after : undefined }
}
