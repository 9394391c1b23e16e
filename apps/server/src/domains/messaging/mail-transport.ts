import { createTransport } from 'nodemailer'
import { places, type Transport } from './sender.ts'

/** No exchange with a mail server lasts as long as a claim does. */
const patience = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 60_000 }

/** Emails through the mail server of `SMTP_URL`. */
export function mailTransport({ smtpUrl, from }: { smtpUrl: string; from: string }): Transport {
  const transport = createTransport({ url: smtpUrl, pool: true, maxConnections: places, ...patience } as never)
  return {
    channel: 'email',
    async deliver({ toAddress, subject, html, text }) {
      try {
        await transport.sendMail({ from, to: { name: '', address: toAddress }, subject, html, text })
        return { result: 'sent' }
      } catch (error) {
        const { code = 'unknown', responseCode } = error as { code?: string; responseCode?: number }
        const reason = responseCode ? `smtp_${responseCode}` : code
        // 5xx is for good (RFC 5321 §4.2.1). A refused password is the operator's to mend, and then the mail may go.
        const forGood = responseCode !== undefined && responseCode >= 500 && code !== 'EAUTH'
        return forGood ? { result: 'refused', reason } : { result: 'later', reason }
      }
    },
    close: () => transport.close(),
  }
}
