import { UsherError } from '../../kernel/errors.ts'
import { CsvParser } from './csv.ts'
import { JsonArraySplitter, LineSplitter, type Splitter } from './split-text.ts'

/** One record of a file, or why it is none. `line` is the line on which it begins, from 1. */
export type SourceRecord =
  | { line: number; value: Record<string, unknown>; problem?: undefined }
  | { line: number; value?: undefined; problem: string }

/**
 * Reads CSV with a header, JSON Lines, or one JSON array, whichever the beginning of the text says, and holds no more of
 * it than a chunk and a record.
 *
 * @throws {UsherError} `request_body_invalid` when the file as a whole cannot be read
 */
export async function* readRecords(source: Blob): AsyncGenerator<{ records: SourceRecord[]; bytes: number }> {
  const decoder = new TextDecoder()
  let read: ((text: string, last: boolean) => SourceRecord[]) | undefined
  let head = ''
  let bytes = 0
  for await (const chunk of source.stream()) {
    const text = decoder.decode(chunk, { stream: true })
    bytes += chunk.byteLength
    if (read) yield { records: read(text, false), bytes }
    else {
      head += text
      if (head.trim() === '') continue
      read = readerFor(head)
      yield { records: read(head, false), bytes }
    }
  }
  if (read) yield { records: read(decoder.decode(), true), bytes }
}

function readerFor(head: string) {
  const first = head.trimStart()[0]
  if (first === '[') return jsonReader(new JsonArraySplitter())
  if (first === '{') return jsonReader(new LineSplitter())
  return csvReader()
}

function jsonReader(splitter: Splitter) {
  return (text: string, last: boolean) => splitter.push(text, last).map(({ line, text }) => parse(line, text))
}

/** NUL, and halves of surrogate pairs that have no other half: text to JSON, but not to the database. */
const unstorable =
  /(?<!\\)(?:\\\\)*\\u(?:0000|d[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2}))|(?<!\\ud[89ab][0-9a-f]{2})(?<!\\)(?:\\\\)*\\ud[c-f][0-9a-f]{2}/i

function parse(line: number, text: string): SourceRecord {
  if (text.includes('\ufffd')) return { line, problem: 'is not UTF-8' }
  // Text that came as UTF-8 holds them only where they are written as escapes.
  if (text.includes('\\u') && unstorable.test(text)) return { line, problem: 'holds a character that cannot be stored' }
  try {
    const value = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { line, value }
    return { line, problem: 'is not a JSON object' }
  } catch {
    return { line, problem: 'is not JSON' }
  }
}

function csvReader() {
  const parser = new CsvParser()
  let header: string[] | undefined
  return (text: string, last: boolean): SourceRecord[] => {
    const records: SourceRecord[] = []
    for (const { line, fields } of parser.push(text, last)) {
      if (header === undefined) {
        header = fields.map((name) => name.trim().toLowerCase())
        if (new Set(header).size !== header.length)
          throw new UsherError('request_body_invalid', 'The header of the file names a column twice.')
        continue
      }
      if (fields.length !== header.length)
        records.push({ line, problem: `has ${fields.length} fields, and the header has ${header.length}` })
      else if (fields.some((field) => field.includes('\ufffd'))) records.push({ line, problem: 'is not UTF-8' })
      else if (fields.some((field) => field.includes('\0')))
        records.push({ line, problem: 'holds a character that cannot be stored' })
      else {
        const names = header
        // An empty field is one that is absent: tables know no other way to say so.
        const given = fields.map((field, i) => [names[i] ?? '', field] as const).filter(([, field]) => field !== '')
        records.push({ line, value: Object.fromEntries(given) })
      }
    }
    return records
  }
}
