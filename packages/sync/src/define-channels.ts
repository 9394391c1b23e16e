/** Any validator that follows Standard Schema and says its JSON schema: zod from 4.2 on, and others. */
export type EventSchema<Data = unknown> = {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Data } | undefined
    readonly jsonSchema?: { input(options: { target: 'draft-2020-12' }): Record<string, unknown> } | undefined
  }
}

/** What is asked of a person beside what the pattern says. */
export type ChannelRule = { permission?: string; role?: string; feature?: string }

/** One kind of channels, as in the settings of an instance. Absent parts have the server's defaults. */
export type ChannelDefinition = {
  /** E.g. `org:{org_id}:chat:*`. */
  pattern: string
  subscribe?: ChannelRule
  publish?: 'server' | ChannelRule
  presence?: boolean
  history?: 'none' | 'memory' | 'durable'
  retentionDays?: number
  /** Names of events with the schema of what comes with them. Where there are any, the server accepts no others. */
  events?: Record<string, EventSchema>
}

type Definitions = Record<string, ChannelDefinition>

/** As it stands in the settings: `channels.types`. */
export type ChannelTypeSettings = Omit<ChannelDefinition, 'events'> & {
  events?: Record<string, Record<string, unknown>>
}

export type DefinedChannels<D extends Definitions> = {
  readonly definitions: D
  /** For `settings.channels` in `usher.config.ts`. */
  readonly settings: { types: ChannelTypeSettings[] }
}

type DataOf<Schema> = Schema extends { '~standard': { types?: { input: infer Data } | undefined } } ? Data : never

/** The events of one kind of channels, by name: the type parameter of `channel`. */
export type EventsOf<
  C extends DefinedChannels<Definitions>,
  Kind extends keyof C['definitions'],
> = C['definitions'][Kind]['events'] extends infer Events extends Record<string, EventSchema>
  ? { [Name in keyof Events & string]: DataOf<Events[Name]> }
  : Record<string, unknown>

/**
 * Says in one place what is said in which channels: for the server, which checks every message by it, and for the types
 * of whoever publishes and reads.
 *
 * @param definitions in the order in which their patterns are tried
 * @throws {TypeError} for a schema that cannot be said as JSON schema
 */
export function defineChannels<const D extends Definitions>(definitions: D): DefinedChannels<D> {
  const types = Object.values(definitions).map(({ events, ...type }) => ({
    ...type,
    ...(events && { events: Object.fromEntries(Object.entries(events).map(([name, s]) => [name, jsonOf(name, s)])) }),
  }))
  return { definitions, settings: { types } }
}

function jsonOf(name: string, schema: EventSchema): Record<string, unknown> {
  const said = schema['~standard'].jsonSchema?.input({ target: 'draft-2020-12' })
  if (!said) throw new TypeError(`the schema of ${name} does not say its JSON schema`)
  return said
}
