import type { Ctx } from './ctx.ts'
import { UsherError } from './errors.ts'

/** What an application is made of and to whom it gives it is decided by the application. @throws {UsherError} `forbidden` */
export function requireApplication({ actor }: Pick<Ctx, 'actor'>): void {
  if (actor.type !== 'backend' && actor.type !== 'system')
    throw new UsherError('forbidden', 'Only the application may do this.')
}
