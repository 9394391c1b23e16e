/** What each template needs to be filled in. */
export type TemplateData = {
  verification_code: { code: string }
  reset_password_code: { code: string }
  organization_invitation: { organizationName: string; inviterName: string | null; url: string }
  invitation: { url: string }
  password_changed: Record<string, never>
  external_account_linked: { provider: string; account: string }
  /** `at`: ISO 8601. */
  factor_changed: { factor: 'authenticator' | 'text_message' | 'passkey'; added: boolean; at: string }
  /** `at`: ISO 8601. */
  new_device_sign_in: { userAgent: string | null; ipAddress: string | null; at: string }
}
export type TemplateName = keyof TemplateData
/** Those that are also sent as text messages. */
export type TextTemplateName = 'verification_code' | 'reset_password_code'

export type RenderedEmail = { subject: string; html: string; text: string }

type Content = {
  subject: string
  paragraphs: string[]
  code?: string
  link?: { label: string; url: string }
  closing?: string
}
type Context = { applicationName: string }

const ignore = 'If you did not ask for this, you can ignore this email.'

const factorNames = {
  authenticator: 'An authenticator app',
  text_message: 'A phone number for codes',
  passkey: 'A passkey',
}

const templates: { [T in TemplateName]: (data: TemplateData[T], context: Context) => Content } = {
  verification_code: ({ code }, { applicationName }) => ({
    subject: `${code} is your code for ${applicationName}`,
    paragraphs: [`Enter this code to continue with ${applicationName}. It is valid for 10 minutes.`],
    code,
    closing: `${ignore} Nobody from ${applicationName} will ever ask you for it.`,
  }),
  reset_password_code: ({ code }, { applicationName }) => ({
    subject: `${code} is your code to reset your password`,
    paragraphs: [`Enter this code to set a new password for ${applicationName}. It is valid for 10 minutes.`],
    code,
    closing: `${ignore} Your password stays as it is.`,
  }),
  organization_invitation: ({ organizationName, inviterName, url }, { applicationName }) => ({
    subject: `${inviterName ?? 'Somebody'} invited you to ${organizationName}`,
    paragraphs: [`${inviterName ?? 'A member'} invites you to join ${organizationName} on ${applicationName}.`],
    link: { label: 'Accept invitation', url },
    closing: 'The invitation is for this email address only. If you did not expect it, you can ignore this email.',
  }),
  invitation: ({ url }, { applicationName }) => ({
    subject: `You are invited to ${applicationName}`,
    paragraphs: [`You are invited to create an account on ${applicationName}.`],
    link: { label: 'Accept invitation', url },
    closing: 'The invitation is for this email address only. If you did not expect it, you can ignore this email.',
  }),
  external_account_linked: ({ provider, account }, { applicationName }) => ({
    subject: `${provider} was connected to your account for ${applicationName}`,
    paragraphs: [`The ${provider} account ${account} can be used to sign in to your account from now on.`],
    closing: 'If this was not you, remove it in your account settings and change your password at once.',
  }),
  factor_changed: ({ factor, added, at }, { applicationName }) => ({
    subject: `${factorNames[factor]} ${added ? 'added to' : 'removed from'} your account for ${applicationName}`,
    paragraphs: [
      `${factorNames[factor]} ${added ? 'was added to' : 'was removed from'} your account. ${
        added ? 'It can be used when you sign in from now on.' : 'It cannot be used any more.'
      }`,
      `Time: ${at}`,
    ],
    closing: 'If this was not you, change your password at once and sign out of all other devices.',
  }),
  new_device_sign_in: ({ userAgent, ipAddress, at }, { applicationName }) => ({
    subject: `New sign-in to ${applicationName}`,
    paragraphs: [
      'Your account was just used on a device that it was not used on before.',
      `Device: ${userAgent ?? 'unknown'}`,
      `Address: ${ipAddress ?? 'unknown'}`,
      `Time: ${at}`,
    ],
    closing: 'If this was not you, change your password at once and sign out of all other devices.',
  }),
  password_changed: (_, { applicationName }) => ({
    subject: `Your password for ${applicationName} was changed`,
    paragraphs: ['Your password was just changed.'],
    closing: 'If this was not you, reset your password at once and sign out of all other devices.',
  }),
}

/** Fills in a template. Everything that comes from people is escaped, and a subject has no line breaks. */
export function renderEmail<T extends TemplateName>(
  template: T,
  data: TemplateData[T],
  context: Context,
): RenderedEmail {
  const content = templates[template](data, context)
  return {
    subject: content.subject.replace(/[\r\n]+/g, ' ').slice(0, 200),
    html: toHtml(content, context),
    text: toText(content),
  }
}

/** A text message: one line, and the same for both codes that are sent this way. */
export function renderText<T extends TextTemplateName>(
  _template: T,
  { code }: TemplateData[T],
  { applicationName }: Context,
): RenderedEmail {
  const text = `${code} is your code for ${applicationName}. Do not share it with anybody.`
  return { subject: text, html: '', text }
}

function toText({ paragraphs, code, link, closing }: Content): string {
  return [...paragraphs, code, link && `${link.label}: ${link.url}`, closing].filter(Boolean).join('\n\n')
}

function toHtml({ subject, paragraphs, code, link, closing }: Content, { applicationName }: Context): string {
  const text = 'margin:0 0 16px;font-size:15px;line-height:24px;color:#27272a'
  const parts = [
    ...paragraphs.map((p) => `<p style="${text}">${escapeHtml(p)}</p>`),
    code &&
      `<p style="margin:24px 0;font:600 32px/40px ui-monospace,Menlo,monospace;letter-spacing:8px;color:#18181b">${escapeHtml(code)}</p>`,
    link &&
      `<p style="margin:24px 0"><a href="${escapeHtml(link.url)}" style="display:inline-block;padding:10px 20px;border-radius:8px;background:#4338ca;color:#fff;font-size:15px;font-weight:600;text-decoration:none">${escapeHtml(link.label)}</a></p>`,
    closing && `<p style="margin:24px 0 0;font-size:13px;line-height:20px;color:#71717a">${escapeHtml(closing)}</p>`,
  ].filter(Boolean)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>
<body style="margin:0;padding:32px 16px;background:#f4f4f5;font-family:system-ui,-apple-system,'Segoe UI',sans-serif">
<div style="max-width:480px;margin:0 auto;padding:32px;border-radius:12px;background:#fff">
<p style="margin:0 0 24px;font-size:17px;font-weight:700;color:#18181b">${escapeHtml(applicationName)}</p>
${parts.join('\n')}
</div></body></html>`
}

function escapeHtml(text: string): string {
  return Bun.escapeHTML(text)
}
