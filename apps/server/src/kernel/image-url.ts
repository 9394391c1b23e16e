import type { Ctx } from './ctx.ts'

/** Where a stored picture is served. Its address never stands for another picture. */
export function imageUrlOf({ publicUrl }: Pick<Ctx, 'publicUrl'>, imageId: string | null): string | null {
  return imageId === null ? null : `${publicUrl}/v1/images/${imageId}`
}
