import { ConfigError } from '../kernel/config-error.ts'
import { UsherError } from '../kernel/errors.ts'

/** What went wrong, for whoever ran the command: a sentence where they can mend it, else the error as it is. */
export function explain(error: unknown): unknown {
  if (error instanceof ConfigError || error instanceof UsherError) return error.message
  if (!(error instanceof Error)) return error
  const { code = '', syscall, message, path, port } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') return `${message.split('. ', 1)[0]}. See: usher --help`
  if (code.startsWith('ERR_PARSE_ARGS')) return message
  // Bun says in words which port it was.
  const taken = port || message.match(/port (\d+)/)?.[1]
  if (code === 'EADDRINUSE') return `Another program listens on port ${taken} already. Choose another one: --port N`
  if (code === 'EADDRNOTAVAIL') return 'This machine has no such address to listen on: --listen, USHER_LISTEN.'
  if (syscall === undefined) return error
  // "ENOENT: no such file or directory, open '/nowhere/file'": of files that a command was told to read or write.
  const reason = message.replace(/^[A-Z]+: /, '').split(', ', 1)[0]
  return path === undefined ? `Cannot ${syscall}: ${reason}.` : `${path}: ${reason}.`
}
