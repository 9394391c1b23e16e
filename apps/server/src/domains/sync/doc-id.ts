import { z } from 'zod'

const pattern = /^[A-Za-z0-9._~:@!$&'()*+,;=%/-]{1,255}$/

/** The characters that a stock client can put into a URL path without encoding them. No empty, `.` or `..` part. */
export function isDocId(value: string): boolean {
  return pattern.test(value) && value.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

export const DocId = z.string().refine(isDocId, { error: 'not a document id' })
