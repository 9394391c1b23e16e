import pino from 'pino'

export type Log = pino.Logger

/** Fields that can hold a credential; pino replaces them wherever they appear. */
const redacted = ['token', 'password', 'secret', 'authorization', 'cookie', 'code', 'ticket', 'jwt', '__client']

/** JSON lines on stderr: stdout belongs to the commands' own answers. */
export function createLog(level: string): Log {
  return pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: redacted.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
      serializers: { err: describeError },
    },
    pino.destination({ fd: 2, sync: true }),
  )
}

/** The log of one request. Made at its first line: redaction makes a child cost more than many a route does. */
export function requestLog(parent: Log, requestId: string): Log {
  let child: Log | undefined
  return new Proxy(parent, {
    get(_, name) {
      child ??= parent.child({ requestId })
      const value = Reflect.get(child, name)
      return typeof value === 'function' ? value.bind(child) : value
    },
  })
}

/**
 * What a log line may say about an error. A database error's message can repeat the values of the statement (an
 * address, a hash), so only its class, SQLSTATE and constraint are kept.
 */
function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: 'a value that is not an Error was thrown' }
  const cause = (error.cause ?? error) as { errno?: unknown; constraint?: unknown; table?: unknown }
  const fromDatabase = typeof cause.errno === 'string' && /^[0-9A-Z]{5}$/.test(cause.errno)
  return fromDatabase
    ? {
        name: error.name,
        sqlstate: cause.errno,
        constraint: cause.constraint,
        table: cause.table,
        stack: frames(error),
      }
    : { name: error.name, message: error.message, stack: frames(error) }
}

function frames(error: Error): string | undefined {
  return error.stack
    ?.split('\n')
    .filter((line) => line.trimStart().startsWith('at '))
    .join('\n')
}
