import { UsherError } from '../../kernel/errors.ts'
import { refuseLongRecord } from './split-text.ts'

export type CsvRow = { line: number; fields: string[] }

/** Comma-separated values as RFC 4180 has them, in pieces: quoted fields may hold commas, quotes and line ends. */
export class CsvParser {
  private fields: string[] = []
  private field = ''
  private line = 1
  private startLine = 1
  private state: 'start' | 'plain' | 'quoted' | 'quote' = 'start'
  private rowLength = 0

  push(text: string, last: boolean): CsvRow[] {
    const rows: CsvRow[] = []
    let start = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (this.state === 'quoted') {
        if (code === 10) this.line++
        else if (code === 34) {
          this.field += text.slice(start, i)
          this.state = 'quote'
        }
        continue
      }
      if (code === 34) {
        // In a quoted field two quotes are one; elsewhere a quote can only open a field.
        if (this.state === 'plain') throw this.malformed()
        if (this.state === 'quote') this.field += '"'
        this.state = 'quoted'
        start = i + 1
      } else if (code === 44 || code === 10) {
        if (this.state === 'plain') this.field += text.slice(start, i)
        this.endField()
        if (code === 10) this.endRow(rows)
      } else if (code === 13) {
        if (this.state === 'plain') this.field += text.slice(start, i)
        this.state = 'quote'
      } else if (this.state === 'start') {
        this.state = 'plain'
        start = i
      } else if (this.state === 'quote') throw this.malformed()
    }
    if (this.state === 'plain' || this.state === 'quoted') this.field += text.slice(start)
    refuseLongRecord(this.startLine, this.rowLength + this.field.length)
    if (!last) return rows
    if (this.state === 'quoted') throw this.malformed()
    if (this.state !== 'start' || this.fields.length > 0) {
      this.endField()
      this.endRow(rows)
    }
    return rows
  }

  private endField() {
    this.rowLength += this.field.length
    this.fields.push(this.field)
    this.field = ''
    this.state = 'start'
  }

  private endRow(rows: CsvRow[]) {
    // A line with nothing on it is no record.
    if (this.fields.length > 1 || this.fields[0] !== '') rows.push({ line: this.startLine, fields: this.fields })
    this.fields = []
    this.rowLength = 0
    this.line++
    this.startLine = this.line
  }

  private malformed() {
    return new UsherError('request_body_invalid', `Line ${this.line}: a quote stands where none can be (RFC 4180).`)
  }
}
