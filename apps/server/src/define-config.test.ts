import { expect, test } from 'bun:test'
import { type ConfigFile, defineConfig, env } from './define-config.ts'

test('the file is typed: what cannot be is an error in the editor, and the value comes back as it is', () => {
  const file = {
    settings: { applicationName: env('NAME'), password: { minLength: 12 } },
    connections: { google: { clientId: 'id', clientSecret: env('GOOGLE_CLIENT_SECRET') } },
    webhooks: { 'https://app.acme.example/hooks': { eventTypes: ['user.*'] } },
  } satisfies ConfigFile
  expect(defineConfig(file)).toBe(file as ConfigFile)
  expect(
    defineConfig(({ environment }) => ({ settings: { multiSession: environment === 'production' } })),
  ).toBeFunction()
  expect(env('NAME')).toEqual({ $env: 'NAME' })

  defineConfig({
    // @ts-expect-error a secret is not a text
    connections: { google: { clientSecret: 'a secret in the file' } },
    // @ts-expect-error there is no such setting
    settings: { colour: 'red' },
  })
})
