import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { createOrganization, updateOrganization } from './index.ts'
import { frontiers, outcome, outcomes } from './testing.ts'

test('I19 a name that looks like another organization’s is refused, an equal one is not', async () => {
  const t = await testInstance()
  const { ada, eve } = await frontiers(t)
  await createOrganization(ada.ctx(), { name: 'acme' })
  // Cyrillic, Greek, full width and mixed with an Armenian letter; then what only the direction of writing hides.
  const alike = ['асмe', 'асме', 'αcme', 'acｍe\u200b', 'ac\u202eme', 'acm\u0435', 'a\u00adcme', 'acme\u3164']
  for (const name of alike)
    expect([name, await outcome(createOrganization(eve.ctx(), { name }))]).toEqual([
      name,
      'organization_name_misleading',
    ])
  for (const name of ['Acme', 'acme', 'Ácme', 'Акме', 'Søren & Sønner', '株式会社', 'नमस्ते', 'Компания X', '👩‍🚀 Club'])
    expect([name, await outcome(createOrganization(eve.ctx(), { name }))]).toEqual([name, 'done'])
  const mine = await createOrganization(eve.ctx(), { name: 'Mine' })
  const renamed = updateOrganization(eve.ctx(), { id: mine.id, name: 'асме' })
  expect(await outcome(renamed)).toBe('organization_name_misleading')
})

test('I19 of look-alikes that arrive together one gets the name', async () => {
  const t = await testInstance()
  const { ada } = await frontiers(t)
  const names = ['сос', 'coc', 'соc']
  const ends = await outcomes(9, (i) => createOrganization(ada.ctx(), { name: names[i % 2] as string }))
  expect(Object.keys(ends).sort()).toEqual(['done', 'organization_name_misleading'])
  const other = await testInstance()
  expect(await outcome(createOrganization(other.ctx(), { name: 'coc' }))).toBe('done')
})

test('I19 words that an application’s addresses need are no slugs, however they are written', async () => {
  const t = await testInstance()
  const { ada } = await frontiers(t)
  const slugs = ['admin', 'api', 'www', 'adm1n', 'l0gin', 'sign-in', 'sign_in', 'org_acme', '-acme', 'Acme', 'acmé']
  for (const slug of slugs) {
    expect([slug, await outcome(createOrganization(ada.ctx(), { name: 'Acme', slug }))]).toEqual([
      slug,
      'form_param_format_invalid',
    ])
    expect(await outcome(createOrganization(t.ctx(), { name: 'Acme', slug }))).toBe('form_param_format_invalid')
  }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations: { slugs: false } })
  expect(await outcome(createOrganization(ada.ctx(), { name: 'Acme', slug: 'acme' }))).toBe('form_param_unknown')
  expect(await outcome(createOrganization(ada.ctx(), { name: 'Acme' }))).toBe('done')
})
