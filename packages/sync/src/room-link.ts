import { checkOf, linkText, linkUrl, newRoomSecret, roomKey } from './crypto/index.ts'

type Options = {
  /** That of the server, and the document's id. */
  url: string
  docId: string
  /** Milliseconds since 1970; undefined: the link lasts as long as the document. */
  expiresAt?: number
}

/**
 * A secret for a new document, as a link and as the text of a QR code (`qrSvg`). Whoever has either of them reads and
 * writes it; lost for everybody, so is the document.
 *
 * @param appUrl the page that opens it, with `linkKeys(location.href)`; what is behind `#` reaches no server
 */
export async function createRoomLink(
  appUrl: string,
  { url, docId, expiresAt }: Options,
): Promise<{ link: string; text: string }> {
  const secret = newRoomSecret()
  const check = await checkOf(await roomKey(secret), docId)
  const payload = { kind: 'secret', secret, check, url, room: docId, epoch: 0, expiresAt } as const
  return { link: linkUrl(appUrl, payload), text: linkText(payload) }
}
