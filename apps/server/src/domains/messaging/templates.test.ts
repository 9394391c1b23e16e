import { expect, test } from 'bun:test'
import { renderEmail } from './templates.ts'

const context = { applicationName: 'Acme' }
const url = 'http://localhost:3913/v1/tickets/accept?ticket=abc&x="><script>'

test('what people typed is escaped in HTML, and breaks no line of a subject', () => {
  const hostile = '<img src=x onerror=alert(1)>"\'&'
  const email = renderEmail(
    'organization_invitation',
    { organizationName: hostile, inviterName: `${hostile}\r\nBcc: eve@evil.test`, url },
    { applicationName: hostile },
  )
  expect(email.html).not.toContain('<img')
  expect(email.html).not.toContain('<script')
  expect(email.html).toContain('&lt;img src=x onerror=alert(1)&gt;')
  expect(email.subject).not.toMatch(/[\r\n]/)
  expect(email.text).toContain(url)
})

test('a subject stays short, whatever the names are', () => {
  const long = 'x'.repeat(256)
  const { subject } = renderEmail(
    'organization_invitation',
    { organizationName: long, inviterName: long, url },
    context,
  )
  expect(subject.length).toBeLessThanOrEqual(200)
})

test('a code is in the subject and in both bodies; every template names the application', () => {
  for (const template of ['verification_code', 'reset_password_code'] as const) {
    const email = renderEmail(template, { code: '123456' }, context)
    for (const part of [email.subject, email.html, email.text]) expect(part).toContain('123456')
  }
  const all = [
    renderEmail('verification_code', { code: '123456' }, context),
    renderEmail('reset_password_code', { code: '123456' }, context),
    renderEmail('invitation', { url }, context),
    renderEmail('organization_invitation', { organizationName: 'Frontiers', inviterName: null, url }, context),
    renderEmail('password_changed', {}, context),
  ]
  for (const { html, text } of all) {
    expect(html).toContain('Acme')
    expect(text).not.toMatch(/undefined|null|\[object/)
  }
})
