#!/usr/bin/env bun
import { parseArgs } from 'node:util'
import { explain } from './commands/explain.ts'
import { checkUsage, usageOf } from './commands/usage.ts'
import { loadConfig } from './config.ts'
import { ConfigError } from './kernel/config-error.ts'

const options = {
  port: { type: 'string' },
  data: { type: 'string' },
  listen: { type: 'string' },
  token: { type: 'string' },
  'token-file': { type: 'string' },
  jwks: { type: 'string' },
  issuer: { type: 'string' },
  audience: { type: 'string' },
  rules: { type: 'string' },
  host: { type: 'string' },
  application: { type: 'string' },
  set: { type: 'string' },
  production: { type: 'boolean' },
  revoke: { type: 'boolean' },
  instance: { type: 'string' },
  'client-id': { type: 'string' },
  'client-secret-file': { type: 'string' },
  scopes: { type: 'string' },
  name: { type: 'string' },
  custom: { type: 'string' },
  file: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  force: { type: 'boolean' },
  organization: { type: 'string' },
  against: { type: 'string' },
  format: { type: 'string' },
  offline: { type: 'boolean' },
  yes: { type: 'boolean' },
  rejects: { type: 'string' },
  out: { type: 'string' },
  again: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  'keep-ids': { type: 'boolean' },
  'no-events': { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

async function main() {
  const { values, positionals } = parseArgs({ args: process.argv.slice(2), options, allowPositionals: true })
  const [command, ...rest] = positionals
  if (values.help || command === undefined || command === 'help')
    return console.log(usageOf(command === 'help' ? rest[0] : command))
  checkUsage(positionals, Object.keys(values))
  const flags = { port: values.port, dataDir: values.data, listen: values.listen }
  // Each command loads only what it needs: the stand-alone sync server never loads the identity plane.
  switch (command) {
    case 'start':
      return (await import('./commands/start.ts')).start(loadConfig(process.env, flags), { json: values.json ?? false })
    case 'sync-server': {
      if (rest[0] !== 'start') throw new ConfigError(usageOf(command))
      return (await import('./commands/sync-server.ts')).startSyncServer(loadConfig(process.env, flags), values)
    }
    case 'sync':
      return (await import('./commands/sync.ts')).sync(loadConfig(process.env, flags), rest, values)
    case 'keys':
      if (rest[0] === 'rotate')
        return (await import('./commands/keys.ts')).rotateKeys(loadConfig(process.env, flags), values)
      if (rest[0] !== undefined) throw new ConfigError(`There is no "keys ${rest[0]}".\n\n${usageOf(command)}`)
      return (await import('./commands/instances.ts')).showKeys(loadConfig(process.env, flags), values)
    case 'connections':
      return (await import('./commands/connections.ts')).manageConnections(loadConfig(process.env, flags), rest, values)
    case 'instances':
      return (await import('./commands/instances.ts')).manageInstances(loadConfig(process.env, flags), rest, values)
    case 'pull':
      return (await import('./commands/pull.ts')).pull(loadConfig(process.env, flags), values)
    case 'diff':
      return (await import('./commands/diff.ts')).diff(loadConfig(process.env, flags), values)
    case 'apply':
      return (await import('./commands/apply.ts')).apply(loadConfig(process.env, flags), values)
    case 'audit':
      return (await import('./commands/audit.ts')).audit(loadConfig(process.env, flags), rest, values)
    case 'promote':
      return (await import('./commands/promote.ts')).promote(loadConfig(process.env, flags), values)
    case 'doctor':
      return (await import('./commands/doctor.ts')).doctor(loadConfig(process.env, flags), values)
    case 'import':
      return (await import('./commands/transfer.ts')).importFile(loadConfig(process.env, flags), rest, values)
    case 'export':
      return (await import('./commands/transfer.ts')).exportFile(loadConfig(process.env, flags), values)
  }
}

main().catch((error) => {
  console.error(explain(error))
  process.exit(1)
})
