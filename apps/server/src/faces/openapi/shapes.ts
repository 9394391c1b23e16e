/**
 * The part of JSON Schema in which the shape of an answer is said. Objects of the API carry their kind in `object`; each
 * kind is described once, and where it stands only its name is.
 */
export type Shape = {
  types: string[]
  /** Kinds of objects that were seen here. */
  kinds?: string[]
  /** Of objects without a kind. */
  fields?: Fields
  items?: Shape
}
export type Fields = Record<string, Shape>
/** Objects of the API by their kind. */
export type Kinds = Record<string, Fields>

/** Objects whose keys are data of the application, not ours. */
const open = new Set(['public_metadata', 'private_metadata', 'unsafe_metadata', 'actor', 'claims', 'meta'])

/** The shape of a JSON value, without the value. The objects in it that have a kind are added to `kinds`. */
export function shapeOf(value: unknown, kinds: Kinds): Shape {
  if (value === null) return { types: ['null'] }
  if (Array.isArray(value)) {
    const items = value.map((item) => shapeOf(item, kinds))
    return { types: ['array'], ...(items.length > 0 && { items: items.reduce(mergeShapes) }) }
  }
  if (typeof value !== 'object') return { types: [Number.isInteger(value) ? 'integer' : typeof value] }
  const fields = Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      open.has(name) && field !== null ? { types: ['object'] } : shapeOf(field, kinds),
    ]),
  )
  const { object } = value as { object?: unknown }
  if (typeof object !== 'string' || 'deleted' in value) return { types: ['object'], fields }
  kinds[object] = kinds[object] ? mergeFields(kinds[object], fields) : fields
  return { types: ['object'], kinds: [object] }
}

/** What two answers have in common and apart. */
export function mergeShapes(a: Shape, b: Shape): Shape {
  const kinds = union(a.kinds, b.kinds)
  const fields = a.fields && b.fields ? mergeFields(a.fields, b.fields) : (a.fields ?? b.fields)
  const items = a.items && b.items ? mergeShapes(a.items, b.items) : (a.items ?? b.items)
  return {
    types: union(a.types, b.types),
    ...(kinds.length > 0 && { kinds }),
    ...(fields && { fields }),
    ...(items && { items }),
  }
}

const union = (a: string[] = [], b: string[] = []) => [...new Set([...a, ...b])].sort()

export function mergeFields(a: Fields, b: Fields): Fields {
  const merged = { ...a }
  for (const [name, shape] of Object.entries(b)) merged[name] = merged[name] ? mergeShapes(merged[name], shape) : shape
  return merged
}

type Schema = Record<string, unknown>

/** A shape as JSON Schema. Objects that have a kind are referred to by its name. */
export function toSchema(shape: Shape): Schema {
  const isNullable = shape.types.includes('null')
  const options: Schema[] = (shape.kinds ?? []).map((kind) => ({ $ref: `#/components/schemas/${kind}` }))
  if (shape.fields) options.push(objectSchema(shape.fields))
  else if (shape.types.includes('object') && options.length === 0) options.push({ type: 'object' })
  if (shape.types.includes('array')) options.push({ type: 'array', items: shape.items ? toSchema(shape.items) : {} })
  for (const type of shape.types) if (!['null', 'object', 'array'].includes(type)) options.push({ type })
  const [only] = options
  if (only === undefined) return isNullable ? { type: 'null' } : {}
  if (options.length > 1 || (isNullable && only.$ref))
    return { anyOf: [...options, ...(isNullable ? [{ type: 'null' }] : [])] }
  return isNullable ? { ...only, type: [only.type, 'null'] } : only
}

export function objectSchema(fields: Fields): Schema {
  const names = Object.keys(fields).sort(byImportance)
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, toSchema(fields[name] as Shape)])),
  }
}

/** Kind and id first, then by name. */
function byImportance(a: string, b: string): number {
  const rank = (name: string) => (name === 'object' ? 0 : name === 'id' ? 1 : 2)
  return rank(a) - rank(b) || (a < b ? -1 : 1)
}
