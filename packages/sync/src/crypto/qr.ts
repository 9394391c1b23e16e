import { renderSVG } from 'uqr'

/** A QR code as an SVG document. Its dark parts are drawn as one colour on white: scanners want the contrast. */
export const qrSvg = (text: string): string => renderSVG(text, { ecc: 'M', border: 2 })
