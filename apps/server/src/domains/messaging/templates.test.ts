import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { createUser } from '../users/index.ts'
import { type Channel, catalog, commonVariables, sampleData, type TemplateData, templateNames } from './catalog.ts'
import { variablesOf } from './fill.ts'
import { getTemplate, listTemplates, previewTemplate, revertTemplate, setTemplate } from './manage-templates.ts'
import { queueEmail } from './queue-message.ts'
import { messages } from './tables.ts'
import { defaultText, render } from './templates.ts'
import { languages } from './texts/index.ts'

const url = 'https://acme.example/v1/tickets/accept?ticket=abc&x=1'
const settings = { applicationName: 'Acme', homeUrl: undefined, supportEmail: undefined, logoUrl: undefined }
const now = new Date('2026-03-14T09:26:00Z')
const channels: Channel[] = ['email', 'sms']

function invite(names: Partial<TemplateData['organization_invitation']>, locale = 'en') {
  const text = defaultText('email', 'organization_invitation', locale) ?? { subject: '', body: '' }
  const data = { organizationName: 'Frontiers', inviterName: 'Ada', url, ...names }
  return render('email', { ...text, locale }, data, { locale, now, settings })
}

test('O2 what people typed is text in an email, and nothing else', () => {
  const hostile = '<img src=x onerror=alert(1)>"\'&{{url}}'
  const { subject, html, text } = invite({ organizationName: hostile, inviterName: hostile })
  expect(html).not.toContain('<img')
  expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;{{url}}')
  expect(subject).toContain(hostile)
  expect(text).toContain(hostile)
})

test('A5 no name breaks a subject into further headers, and no name makes it long', () => {
  const { subject } = invite({ organizationName: 'Acme\r\nBcc: eve@example.com', inviterName: 'x'.repeat(5000) })
  expect(subject).not.toMatch(/[\r\n]/)
  expect(subject.length).toBeLessThanOrEqual(200)
})

test('O16 a name that turns the direction of text around turns only itself around', () => {
  const { subject, text, html } = invite({ inviterName: '\u202eevil\u202c', organizationName: 'שלום' })
  for (const part of [subject, text, html]) expect(part).not.toMatch(/[\u202a-\u202e\u200e\u200f]/)
  expect(subject).toContain('\u2068שלום\u2069')
  expect(html).toContain('<bdi>שלום</bdi>')
})

test('O16 links are whole in thirty languages, and times are written as each does', () => {
  const locales =
    'en en-GB de de-AT fr fr-CA es es-MX it pt-BR pt nl sv da nb fi pl cs hu ro el ru uk tr ar he fa hi th ja ko zh-CN'
  for (const locale of locales.split(' ')) {
    const { html, text } = invite({ inviterName: 'مريم' }, 'en')
    expect(text).toContain(url)
    expect(html).toContain(`href="${url.replaceAll('&', '&amp;')}"`)
    const german = render(
      'email',
      { subject: 's', body: '{{time}}\n\n{{url}}\n\n[go]({{url}})', locale },
      { url, at: now.toISOString() },
      { locale, now, settings },
    )
    expect(german.text.match(/https?:\/\/\S+/g)).toEqual([url, url])
    expect(german.text).toContain('UTC')
    expect(german.html).toContain(/^(ar|he|fa)/.test(locale) ? 'dir="rtl"' : 'dir="ltr"')
  }
})

test('a name that looks like an address is no link in any mail program', () => {
  const { text } = invite({ inviterName: 'Win at https://evil.example now' })
  expect(text.match(/https?:\/\/\S+/g)).toEqual([url])
  expect(text).not.toContain('evil.example')
})

test('a link that is not http leads nowhere', () => {
  const { html, text } = invite({ url: 'javascript:alert(1)' })
  expect(html + text).not.toContain('javascript')
})

test('every template is there in every language that ships, names only what it has, and has a preview', async () => {
  const t = await testInstance()
  for (const channel of channels)
    for (const name of templateNames(channel))
      for (const locale of Object.keys(languages)) {
        const { subject = '', body = '' } = defaultText(channel, name, locale) ?? {}
        const known: readonly string[] = [...commonVariables, ...catalog[name].variables]
        for (const variable of variablesOf(subject + body)) expect(known).toContain(variable)
        for (const variable of catalog[name].required ?? []) expect(variablesOf(body)).toContain(variable)
        const shown = render(channel, { subject, body, locale }, sampleData[name], { locale, now, settings })
        for (const part of [shown.subject, shown.html, shown.text])
          expect(part).not.toMatch(/undefined|null|\[object|\{\{|\}\}/)
        if (channel === 'email') expect(shown.html).toContain('Acme')
        else expect(shown.text.length).toBeLessThanOrEqual(160)
      }
  const shown = await previewTemplate(t.ctx(), { channel: 'email', name: 'new_device_sign_in', locale: 'de' })
  expect(shown.text).toContain('Gerät: Chrome 140, macOS')
  expect(shown.text).toContain('203.0.113.7')
  expect(shown.text).toContain('14. März 2026')
})

test('an instance’s own text is used, for its language only, until it is reverted', async () => {
  const t = await testInstance()
  const template = { channel: 'email', name: 'verification_code' } as const
  const set = await setTemplate(t.ctx(), {
    ...template,
    locale: 'de',
    subject: 'Servus {{code}}',
    body: 'Hier:\n\n{{code}}',
  })
  expect(set).toMatchObject({ edited: true, locale: 'de', textLocale: 'de' })
  const textFor = async (locale?: string) => (await getTemplate(t.ctx(), { ...template, locale })).subject
  expect(await textFor('de-AT')).toBe('Servus {{code}}')
  expect(await textFor('fr-CA')).toStartWith('{{code}} est')
  expect(await textFor('ja')).toBe(await textFor())
  expect((await listTemplates(t.ctx(), 'email', 'de')).filter((x) => x.edited).map((x) => x.name)).toEqual([
    'verification_code',
  ])
  // Another instance knows nothing of it.
  const other = await testInstance()
  expect((await getTemplate(other.ctx(), { ...template, locale: 'de' })).edited).toBe(false)
  await revertTemplate(t.ctx(), { ...template, locale: 'de' })
  expect(await textFor('de')).toStartWith('{{code}} ist dein Code')
})

test('a message is in the language of whoever has proven the address, else the instance’s, else English', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const address = (emailAddress: string) => [{ emailAddress, verifiedBy: 'admin' as const }]
  await createUser(ctx, { emailAddresses: address('jean@example.com'), locale: 'fr-CA' })
  await createUser(ctx, { emailAddresses: address('yuki@example.com'), locale: 'ja' })
  const sent = async (to: string, locale?: string) => {
    await transaction(ctx, async (tx) => {
      await tx.db.delete(messages)
      await queueEmail(tx, { template: 'password_changed', to, data: {}, locale })
    })
    return (await transaction(ctx, (tx) => tx.db.select().from(messages)))[0]?.subject
  }
  expect(await sent('jean@example.com')).toStartWith('Votre mot de passe')
  expect(await sent('jean@example.com', 'es-MX')).toStartWith('Se ha cambiado')
  expect(await sent('yuki@example.com')).toStartWith('Your password')
  await t.server.runtime.instances.changeSettings(ctx.instance.id, { messages: { locale: 'de-DE' } })
  const german = t.ctx()
  await transaction(german, async (tx) => {
    await tx.db.delete(messages)
    await queueEmail(tx, { template: 'password_changed', to: 'yuki@example.com', data: {} })
  })
  expect((await transaction(german, (tx) => tx.db.select().from(messages)))[0]?.subject).toStartWith('Dein Passwort')
})

test('refuses texts that could not work', async () => {
  const t = await testInstance()
  const set = (body: string, subject = 'Hello', name = 'verification_code', channel: Channel = 'email') =>
    setTemplate(t.ctx(), { channel, name, subject, body })
  const refusals: [Promise<unknown>, string][] = [
    [set('no code'), 'form_param_value_invalid'],
    [set('{{code}} {{password}}'), 'form_param_value_invalid'],
    [set('{{code}} {{constructor}}'), 'form_param_value_invalid'],
    [set('{{code}} {{oops'), 'form_param_value_invalid'],
    [set('{{code}}', '{{nobody}}'), 'form_param_value_invalid'],
    [set('   '), 'form_param_nil'],
    [set('{{code}}', '  '), 'form_param_nil'],
    [set(`{{code}}${'x'.repeat(30_000)}`), 'form_param_max_length_exceeded'],
    [set(`{{code}}${'x'.repeat(600)}`, '', 'verification_code', 'sms'), 'form_param_max_length_exceeded'],
    [set('{{code}}', 'Hello', 'no_such'), 'resource_not_found'],
    [set('{{url}}', '', 'invitation', 'sms'), 'resource_not_found'],
    [
      setTemplate(t.ctx(), { channel: 'email', name: 'invitation', subject: 's', body: '{{url}}', locale: '../etc' }),
      'form_param_value_invalid',
    ],
  ]
  for (const [refused, code] of refusals) await expect(refused).rejects.toMatchObject({ code })
})
