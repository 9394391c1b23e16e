import { UsherError } from '../../kernel/errors.ts'

export type TextRecord = { line: number; text: string }

/** Cuts a text that comes in pieces into records. */
export type Splitter = { push: (text: string, last: boolean) => TextRecord[] }

/** Characters of one record: what is longer is not one person, and must not fill the memory. */
export const maxRecordLength = 4 * 1024 * 1024

export function refuseLongRecord(line: number, length: number): void {
  if (length > maxRecordLength)
    throw new UsherError('request_body_invalid', `The record on line ${line} is longer than 4 MB.`)
}

/** JSON Lines: one record a line, empty lines count for nothing. */
export class LineSplitter implements Splitter {
  private rest = ''
  private line = 1

  push(text: string, last: boolean): TextRecord[] {
    const records: TextRecord[] = []
    const all = this.rest + text
    let start = 0
    for (let end = all.indexOf('\n'); end >= 0; end = all.indexOf('\n', start)) {
      this.add(records, all.slice(start, end))
      start = end + 1
    }
    this.rest = all.slice(start)
    refuseLongRecord(this.line, this.rest.length)
    if (last) {
      this.add(records, this.rest)
      this.rest = ''
    }
    return records
  }

  private add(records: TextRecord[], line: string) {
    const text = line.trim()
    if (text !== '') records.push({ line: this.line, text })
    this.line++
  }
}

/** The elements of one JSON array, however it is indented. */
export class JsonArraySplitter implements Splitter {
  private rest = ''
  private line = 1
  private startLine = 1
  /** No character of the next element has come yet. */
  private between = true
  private depth = 0
  private inString = false
  private escaped = false
  private ended = false

  push(text: string, last: boolean): TextRecord[] {
    const records: TextRecord[] = []
    let start = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code === 10) this.line++
      if (this.between && this.depth === 1 && code > 32) {
        this.startLine = this.line
        this.between = false
      }
      if (this.inString) {
        if (this.escaped) this.escaped = false
        else if (code === 92) this.escaped = true
        else if (code === 34) this.inString = false
      } else if (code === 34) this.inString = true
      else if (code === 91 || code === 123) {
        this.depth++
        if (this.depth === 1) start = i + 1
      } else if (code === 93 || code === 125) {
        this.depth--
        if (this.depth === 0) {
          this.take(records, text.slice(start, i))
          this.ended = true
          start = i + 1
        }
      } else if (code === 44 && this.depth === 1) {
        this.take(records, text.slice(start, i))
        start = i + 1
      }
    }
    if (this.depth > 0) this.rest += text.slice(start)
    refuseLongRecord(this.startLine, this.rest.length)
    if (last && !this.ended)
      throw new UsherError('request_body_invalid', 'The JSON array has no end: the file is not whole.')
    return records
  }

  private take(records: TextRecord[], tail: string) {
    const text = (this.rest + tail).trim()
    this.rest = ''
    this.between = true
    if (text !== '') records.push({ line: this.startLine, text })
  }
}
