import type { Context } from 'hono'
import { maxUploadBytes, tooLarge } from '../domains/images/index.ts'
import { UsherError } from '../kernel/errors.ts'
import type { Env } from './http.ts'

/** Room for the file as base64, and for what a form puts around it. */
const maxBodyBytes = Math.ceil(maxUploadBytes * 1.4)

/**
 * The picture in a body: the field `file` of a form, or text that holds it as base64 or a data URL.
 *
 * @throws {UsherError} `avatar_file_size_exceeded`, `form_param_missing`, `request_body_invalid`
 */
export async function readUpload<E extends Env>(c: Context<E>): Promise<Uint8Array> {
  if (Number(c.req.header('content-length') ?? 0) > maxBodyBytes) throw tooLarge('A picture has 10 MB at most.')
  const type = c.req.header('content-type') ?? ''
  if (type.startsWith('multipart/form-data')) {
    const form = await c.req.formData().catch(() => {
      throw new UsherError('request_body_invalid', 'The form cannot be read.')
    })
    const file = form.get('file')
    if (!(file instanceof Blob)) throw new UsherError('form_param_missing', 'file is missing.', { param: 'file' })
    return file.bytes()
  }
  if (!type.startsWith('application/octet-stream'))
    throw new UsherError('request_body_invalid', 'A picture comes in a form, or as application/octet-stream.')
  const body = Buffer.from(await c.req.arrayBuffer())
  // Base64 is all letters; a picture begins with bytes that are none, or with `GIF8`, which is no whole base64.
  const text = /^[A-Za-z0-9+/=_\s:;,.-]*$/.test(body.toString('latin1', 0, 1024)) ? body.toString('latin1') : undefined
  return text === undefined ? body : Buffer.from(text.replace(/^data:[^,]*,/, ''), 'base64')
}
