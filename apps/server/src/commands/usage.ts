import { ConfigError } from '../kernel/config-error.ts'

const lines = `  start [--port N] [--data DIR] [--listen HOST] [--json]     serve everything on one port
  sync-server start [--token T] [--token-file FILE] [--port N] [--data DIR] [--listen HOST] [--json]
                                                             serve realtime documents alone; SIGHUP reads FILE again
  sync-server start --issuer URL --audience A [--jwks URL] [--rules FILE.json] …
                                                             to holders of another issuer's tokens
  sync rooms [--instance NAME] [--json]                      documents: what there is, and what they take; those of a
                                                             stand-alone server: --instance standalone
  sync inspect DOCUMENT [--instance NAME] [--json]           one of them; exits with 1 if it is not whole
  sync export DOCUMENT [--format update | json | text] [--instance NAME] [--out FILE]
                                                             what is in it; if it is encrypted, as it is, sealed
  keys [--instance NAME] [--json]                            show an instance's keys; without a name the default's
  keys rotate [--instance NAME] [--revoke] [--json]          a new signing key; the old one verifies on, or not
  instances create NAME [--host HOST] [--production] [--application ID] [--json]
                                                             people and organizations of their own, behind a host
  instances list [--json]                                    which there are
  instances settings NAME [--set FILE.json] [--json]         show its settings; change those that are in FILE
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
                                                             all of them, or those of one organization
  import users FILE [--instance NAME] [--dry-run] [--keep-ids] [--again] [--rejects FILE] [--no-events] [--json]
                                                             CSV, JSON Lines or JSON; goes on where it was stopped
  export [--instance NAME] [--out FILE] [--json]             everything back, hashes included, as JSON Lines`.split(
  '\n',
)

/** What every command takes: where the data are, and what the server beside it was started with. */
const everywhere = ['help', 'data', 'port', 'listen']

/** What is shown about one command, or about all. @param command its first word */
export function usageOf(command?: string): string {
  const own = command === undefined ? undefined : linesOf(command)
  if (own && own.length > 0)
    return own.map((line) => line.replace(/^ {2}/, line.startsWith('    ') ? '      ' : 'usher ')).join('\n')
  return `usher <command>

${lines.join('\n')}

Every command takes --data DIR, where the data are; ./.usher if nothing is said.
Settings come from the environment too: see docs/configuration.md.`
}

/**
 * Nothing that somebody says is passed over in silence: `apply --dry-run` would change what it was not to change, and
 * `export FILE` would write secrets elsewhere.
 *
 * @param command its first word, with the words behind it
 * @param given names of the options, without their dashes
 * @throws {ConfigError} if there is no such command, or it has no such option, or takes no further words
 */
export function checkUsage([command = '', ...words]: readonly string[], given: readonly string[]): void {
  const own = linesOf(command)
  if (own.length === 0) throw new ConfigError(`There is no command "${command}". See: usher --help`)
  if (words.length > 0 && own.every((line) => /^ {2}\S+ +(\[|--)|^ {4}/.test(line)))
    throw new ConfigError(`usher ${command} takes no "${words[0]}". See: usher ${command} --help`)
  const known = new Set([...everywhere, ...own.flatMap((line) => [...line.matchAll(/--([a-z-]+)/g)].map((m) => m[1]))])
  const unknown = given.filter((name) => !known.has(name))
  if (unknown.length > 0)
    throw new ConfigError(
      `usher ${command} has no option ${unknown.map((name) => `--${name}`).join(', ')}. See: usher ${command} --help`,
    )
}

/** Lines that begin with a command, and what goes on below them. */
function linesOf(command: string): string[] {
  let isOwn = false
  return lines.filter((line) => {
    if (!line.startsWith('   ')) isOwn = line.trim().split(' ', 1)[0] === command
    return isOwn
  })
}
