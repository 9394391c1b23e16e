#!/usr/bin/env bun
import { parseArgs } from 'node:util'
import { ConfigError, loadConfig } from './config.ts'
import { UsherError } from './kernel/errors.ts'

const usage = `usher <command>

  start [--port N] [--data DIR] [--listen HOST] [--json]     serve everything on one port
  sync-server start [--token T] [--token-file FILE] [--port N] [--data DIR] [--listen HOST] [--json]
                                                             serve realtime documents alone; SIGHUP reads FILE again
  sync-server start --issuer URL --audience A [--jwks URL] [--rules FILE.json] …
                                                             to holders of another issuer's tokens
  sync rooms [--instance NAME] [--json]                      documents: what there is, and what they take
  sync inspect DOCUMENT [--instance NAME] [--json]           one of them; exits with 1 if it is not whole
  sync export DOCUMENT [--format update | json | text] [--instance NAME] [--out FILE]
  keys [--instance NAME] [--data DIR] [--json]               show an instance's keys; without a name the default's
  keys rotate [--instance NAME] [--revoke] [--json]          a new signing key; the old one verifies on, or not
  instances create NAME [--host HOST] [--production] [--application ID] [--json]
  instances list [--json]
  instances settings NAME [--set FILE.json] [--json]
  connections list | providers | enable KEY… | disable KEY… | remove KEY [--instance NAME] [--json]
  connections set KEY --client-id ID --client-secret-file FILE [--scopes A,B] [--name N] [--custom FILE.json]
                                                             social providers
  pull [--out FILE] [--force] [--instance NAME]              what an instance is, as usher.config.ts
  diff [--file FILE] [--instance NAME] [--json]              what apply would change; exits with 2 if anything
  apply [--file FILE] [--instance NAME] [--yes] [--json]     make the instance what the file says
  promote [--from NAME] [--to NAME] [--host HOST] [--yes] [--json]
                                                             make the production instance like the development one
  doctor [--instance NAME] [--offline] [--json]              what production demands and is missing; exits with 1
  audit verify [--instance NAME] [--organization ID] [--against FILE] [--json]
                                                             whether every entry of the audit logs is as it was written
  audit export [--instance NAME] [--organization ID] [--format jsonl | csv] [--out FILE]
  import users FILE [--instance NAME] [--dry-run] [--keep-ids] [--again] [--rejects FILE] [--no-events] [--json]
                                                             CSV, JSON Lines or JSON; goes on where it was stopped
  export [--instance NAME] [--out FILE] [--json]             everything back, hashes included, as JSON Lines

Settings come from the environment too: see docs/configuration.md.`

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
  if (values.help || command === undefined) return console.log(usage)
  const flags = { port: values.port, dataDir: values.data, listen: values.listen }
  // Each command loads only what it needs: the stand-alone sync server never loads the identity plane.
  switch (command) {
    case 'start':
      return (await import('./commands/start.ts')).start(loadConfig(process.env, flags), { json: values.json ?? false })
    case 'sync-server': {
      if (rest[0] !== 'start') throw new ConfigError(usage)
      return (await import('./commands/sync-server.ts')).startSyncServer(loadConfig(process.env, flags), values)
    }
    case 'sync':
      return (await import('./commands/sync.ts')).sync(loadConfig(process.env, flags), rest, values)
    case 'keys':
      if (rest[0] === 'rotate')
        return (await import('./commands/keys.ts')).rotateKeys(loadConfig(process.env, flags), values)
      if (rest[0] !== undefined) throw new ConfigError(`usher keys [rotate]: there is no "${rest[0]}".\n\n${usage}`)
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
    default:
      throw new ConfigError(`There is no command "${command}".\n\n${usage}`)
  }
}

main().catch((error) => {
  const expected =
    error instanceof ConfigError || error instanceof UsherError || error?.code?.startsWith('ERR_PARSE_ARGS')
  // Bun's own message has an excerpt of the source around it.
  if (error?.code === 'EADDRINUSE') console.error(`${error.message} Choose another one: --port N`)
  else console.error(expected ? error.message : error)
  process.exit(1)
})
