import { UsherError } from '../../kernel/errors.ts'

/** Bytes of an upload. */
export const maxUploadBytes = 10 * 1024 * 1024
/** Pixels of an upload: decoded they take four bytes each, whatever the file takes. */
const maxPixels = 40_000_000
/** Longest side of what is stored. */
const maxSide = 512
/** Images that are decoded at a time: memory is bounded by this and `maxPixels`. */
const places = 2

export type ProcessedImage = { bytes: Uint8Array; contentType: 'image/webp' }

/** What a file is, by its first bytes: names and types are whatever the sender says. */
const signatures: ((bytes: Buffer) => boolean)[] = [
  (b) => b.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])),
  (b) => b.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff])),
  (b) => /^GIF8[79]a/.test(b.toString('latin1', 0, 6)),
  (b) => b.toString('latin1', 0, 4) === 'RIFF' && b.toString('latin1', 8, 12) === 'WEBP',
]

let running = 0
const waiting: (() => void)[] = []

/**
 * Makes of an uploaded PNG, JPEG, WebP or GIF the picture that is served: turned the right way up, 512 pixels at most on
 * its longer side, and encoded anew, so that nothing but the pixels remains. Of a moving picture the first frame is kept.
 *
 * @throws {UsherError} `avatar_file_type_invalid`, `avatar_file_size_exceeded`
 */
export async function processImage(upload: Uint8Array): Promise<ProcessedImage> {
  if (upload.byteLength > maxUploadBytes) throw tooLarge('A picture has 10 MB at most.')
  const bytes = Buffer.from(upload.buffer, upload.byteOffset, upload.byteLength)
  if (!signatures.some((fits) => fits(bytes))) throw wrongType()
  if (running >= places) await new Promise<void>((resolve) => waiting.push(resolve))
  else running += 1
  try {
    const image = new Bun.Image(bytes, { maxPixels, autoOrient: true })
    const fitted = image.resize(maxSide, maxSide, { fit: 'inside', withoutEnlargement: true })
    return { bytes: await fitted.webp({ quality: 85 }).bytes(), contentType: 'image/webp' }
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ERR_IMAGE_TOO_MANY_PIXELS') throw tooLarge('A picture has 40 million pixels at most.')
    if (code?.startsWith('ERR_IMAGE_')) throw wrongType()
    throw error
  } finally {
    // The place goes to whoever waits the longest, if anybody does.
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }
}

// Neither names the field: the components have none called `file`, and would show nobody what is said about it.
const wrongType = () => new UsherError('avatar_file_type_invalid', 'This is no PNG, JPEG, WebP or GIF picture.')
export const tooLarge = (message: string) => new UsherError('avatar_file_size_exceeded', message)
