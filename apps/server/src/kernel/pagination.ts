import { z } from 'zod'

/** `limit` and `offset` as every list takes them. */
export const Pagination = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(10),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
})
export type Pagination = z.infer<typeof Pagination>

/** One page of a list and how many there are in all. */
export type Page<T> = { data: T[]; totalCount: number }
