import { expect, test } from 'bun:test'
import { readRecords, type SourceRecord } from './read-records.ts'

/** A file that arrives in pieces of one to seven bytes: every state of the readers meets the end of a piece. */
function inPieces(text: string): Blob {
  const bytes = new TextEncoder().encode(text)
  const stream = () =>
    new ReadableStream({
      start(controller) {
        for (let i = 0, n = 1; i < bytes.length; i += n, n = (n % 7) + 1) controller.enqueue(bytes.slice(i, i + n))
        controller.close()
      },
    })
  return { stream, size: bytes.length } as unknown as Blob
}

async function read(text: string): Promise<SourceRecord[]> {
  const records: SourceRecord[] = []
  for await (const page of readRecords(inPieces(text))) records.push(...page.records)
  return records
}

test('JSON Lines: one record a line, and what is none is said by line', async () => {
  expect(await read('{"a":1}\r\n\n[1]\n{"a":\n{"a":"ü\\u0041"}')).toEqual([
    { line: 1, value: { a: 1 } },
    { line: 3, problem: 'is not a JSON object' },
    { line: 4, problem: 'is not JSON' },
    { line: 5, value: { a: 'üA' } },
  ])
})

test('a JSON array: elements by the line on which they begin, with brackets and quotes in their texts', async () => {
  expect(await read('[\n  {"a": "],{[\\"", "b": [1, {}]},\n  {"a": 2\n  },\n  7\n]\n')).toEqual([
    { line: 2, value: { a: '],{["', b: [1, {}] } },
    { line: 3, value: { a: 2 } },
    { line: 5, problem: 'is not a JSON object' },
  ])
  await expect(read('[{"a":1}')).rejects.toMatchObject({ code: 'request_body_invalid' })
})

test('CSV: quoted fields with commas, quotes and line ends; empty fields are absent', async () => {
  expect(await read('\ufeffid,First_Name,note\r\n1,"Ada ""A"", Countess","two\nlines"\r\n\r\n2,,x\n3,a\n')).toEqual([
    { line: 2, value: { id: '1', first_name: 'Ada "A", Countess', note: 'two\nlines' } },
    { line: 5, value: { id: '2', note: 'x' } },
    { line: 6, problem: 'has 2 fields, and the header has 3' },
  ])
  await expect(read('a,b\n"x,y')).rejects.toMatchObject({ code: 'request_body_invalid' })
  await expect(read('a,b\nx"y,1\n')).rejects.toMatchObject({ code: 'request_body_invalid' })
  await expect(read('a,a\n1,2\n')).rejects.toMatchObject({ code: 'request_body_invalid' })
})

test('text that the database cannot hold is refused by its line', async () => {
  const problem = 'holds a character that cannot be stored'
  expect(
    await read('{"a":"\\u0000"}\n{"a":"\\ud800"}\n{"a":"\\udc00x"}\n{"a":"\\\\u0000"}\n{"a":"\\ud83d\\ude00"}'),
  ).toEqual([
    { line: 1, problem },
    { line: 2, problem },
    { line: 3, problem },
    { line: 4, value: { a: '\\u0000' } },
    { line: 5, value: { a: '😀' } },
  ])
})
