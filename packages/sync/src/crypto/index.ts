export { extendChain, startChain } from './chain.ts'
export { type Content, contentType, decodeContent, encodeContent } from './content.ts'
export {
  checkKeyParameters,
  decodeKeyParameters,
  deriveKey,
  encodeKeyParameters,
  type KeyCost,
  type KeyParameters,
  keyParametersFromText,
  keyParametersToText,
  newKeyParameters,
  stretch,
} from './derive.ts'
export { type DocumentKeys, fixedDocumentKey } from './document-keys.ts'
export {
  type Envelope,
  type EnvelopeHeader,
  encodeHeader,
  envelopeFlag,
  envelopeKind,
  headerLength,
  parseEnvelope,
} from './envelope.ts'
export { CryptoError, type CryptoErrorCode } from './errors.ts'
export { exportPrivateKey, generateKeyPair, importPrivateKey, type KeyPair, openFrom, sealTo } from './hpke.ts'
export { encodeLinkPayload, type LinkPayload, linkText, linkUrl, parseLink } from './link.ts'
export { paddedLength } from './padding.ts'
export { qrSvg } from './qr.ts'
export { createReceiver, type Opened, type Receiver } from './receiver.ts'
export { formatRecoveryCode, newRecoverySecret, parseRecoveryCode } from './recovery-code.ts'
export { checkOf, linkKeys, newRoomSecret, passphraseKeys, type RoomKeys, roomKey } from './room-secret.ts'
export { createSender, type Sender, sessionLimits } from './sender.ts'
export { openBytes, sealBytes, unwrapKey, wrapKey } from './wrap.ts'
