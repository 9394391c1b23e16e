import { sql } from 'drizzle-orm'
import { customType, text, timestamp } from 'drizzle-orm/pg-core'

/**
 * A `jsonb` column that holds JSON and not a JSON string. Drizzle's own `jsonb()` hands Bun's driver a string, which
 * it stores as a string (`jsonb_typeof` = `string`). Not usable as a prepared placeholder.
 */
export const json = <T>(name: string) =>
  customType<{ data: T; driverData: unknown }>({
    dataType: () => 'jsonb',
    toDriver: (value) => sql`${JSON.stringify(value)}::text::jsonb`,
    fromDriver: (value) => (typeof value === 'string' ? JSON.parse(value) : value) as T,
  })(name)

/** Milliseconds are what the wire carries, so the column keeps no more. */
export const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })

/** The tenant column of every table; row-level security compares it. */
export const instanceId = () => text('instance_id').notNull()

/** JSON metadata that applications attach to things. */
export type Metadata = Record<string, unknown>
export const metadata = (name: string) => json<Metadata>(name).notNull().default({})

export const bytes = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })
