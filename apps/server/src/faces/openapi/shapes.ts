/**
 * The part of JSON Schema in which the shape of an answer is said. Objects of the API carry their kind in `object`; each
 * kind is described once, and where it stands only its name is.
 */
export type Shape = {
  types: string[]
  /** Kinds of objects that were seen here, with the shapes that they had. */
  kinds?: Record<string, Record<string, Shape>>
  /** Of objects without a kind. */
  fields?: Record<string, Shape>
  items?: Shape
}

/** Objects whose keys are data of the application, not ours. */
const open = new Set(['public_metadata', 'private_metadata', 'unsafe_metadata', 'actor', 'claims', 'meta'])

/** The shape of a JSON value, without the value. */
export function shapeOf(value: unknown): Shape {
  if (value === null) return { types: ['null'] }
  if (Array.isArray(value))
    return { types: ['array'], ...(value.length > 0 && { items: value.map(shapeOf).reduce(mergeShapes) }) }
  if (typeof value !== 'object') return { types: [Number.isInteger(value) ? 'integer' : typeof value] }
  const fields = Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      open.has(name) && field !== null ? { types: ['object'] } : shapeOf(field),
    ]),
  )
  const { object } = value as { object?: unknown }
  return typeof object === 'string' && !('deleted' in value)
    ? { types: ['object'], kinds: { [object]: fields } }
    : { types: ['object'], fields }
}

/** What two answers have in common and apart. */
export function mergeShapes(a: Shape, b: Shape): Shape {
  const kinds: Record<string, Record<string, Shape>> = { ...a.kinds }
  for (const [kind, fields] of Object.entries(b.kinds ?? {}))
    kinds[kind] = kinds[kind] ? mergeFields(kinds[kind], fields) : fields
  const fields = a.fields && b.fields ? mergeFields(a.fields, b.fields) : (a.fields ?? b.fields)
  const items = a.items && b.items ? mergeShapes(a.items, b.items) : (a.items ?? b.items)
  return {
    types: [...new Set([...a.types, ...b.types])].sort(),
    ...(Object.keys(kinds).length > 0 && { kinds }),
    ...(fields && { fields }),
    ...(items && { items }),
  }
}

function mergeFields(a: Record<string, Shape>, b: Record<string, Shape>): Record<string, Shape> {
  const merged = { ...a }
  for (const [name, shape] of Object.entries(b)) merged[name] = merged[name] ? mergeShapes(merged[name], shape) : shape
  return merged
}

type Schema = Record<string, unknown>

/** A shape as JSON Schema. Each kind of object goes into `components`, and is referred to by its name. */
export function toSchema(shape: Shape, components: Map<string, Record<string, Shape>>): Schema {
  const isNullable = shape.types.includes('null')
  const options: Schema[] = []
  for (const [kind, fields] of Object.entries(shape.kinds ?? {})) {
    const known = components.get(kind)
    components.set(kind, known ? mergeFields(known, fields) : fields)
    options.push({ $ref: `#/components/schemas/${kind}` })
  }
  if (shape.fields) options.push(objectSchema(shape.fields, components))
  else if (shape.types.includes('object') && options.length === 0) options.push({ type: 'object' })
  if (shape.types.includes('array'))
    options.push({ type: 'array', items: shape.items ? toSchema(shape.items, components) : {} })
  for (const type of shape.types) if (!['null', 'object', 'array'].includes(type)) options.push({ type })
  if (options.length === 0) return isNullable ? { type: 'null' } : {}
  const [only] = options
  if (options.length > 1 || (isNullable && only?.$ref))
    return { anyOf: [...options, ...(isNullable ? [{ type: 'null' }] : [])] }
  return isNullable ? { ...only, type: [only?.type, 'null'] } : { ...only }
}

export function objectSchema(fields: Record<string, Shape>, components: Map<string, Record<string, Shape>>): Schema {
  const properties = Object.fromEntries(
    Object.keys(fields)
      .sort(byImportance)
      .map((name) => [name, toSchema(fields[name] as Shape, components)]),
  )
  return { type: 'object', properties }
}

/** Kind and id first, then by name. */
function byImportance(a: string, b: string): number {
  const rank = (name: string) => (name === 'object' ? 0 : name === 'id' ? 1 : 2)
  return rank(a) - rank(b) || (a < b ? -1 : 1)
}
