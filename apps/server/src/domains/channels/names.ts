import { z } from 'zod'

/** As a document id, which can be part of one, behind `doc:`. */
const pattern = /^[A-Za-z0-9._~:@!$&'()*+,;=%/-]{1,260}$/

export const isChannelName = (name: unknown): name is string => typeof name === 'string' && pattern.test(name)
export const ChannelName = z.string().regex(pattern, 'This is not the name of a channel.')

export const isEventName = (name: unknown): name is string =>
  typeof name === 'string' && /^[A-Za-z0-9._:-]{1,64}$/.test(name)

/** A document's own channel: whoever has the document open is in it. */
export const documentChannel = (docId: string): string => `doc:${docId}`
export const isDocumentChannel = (name: string): boolean => name.startsWith('doc:')
export const notificationsChannel = (userId: string): string => `user:${userId}:notifications`
export const authChannel = (userId: string): string => `user:${userId}:auth`
