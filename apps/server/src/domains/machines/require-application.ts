import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'

/** Which machines there are and whom they may talk to is decided by the application. @throws {UsherError} `forbidden` */
export function requireApplication({ actor }: Ctx): void {
  if (actor.type !== 'backend' && actor.type !== 'system')
    throw new UsherError('forbidden', 'Only the application may do this.')
}
