export { extendChain, startChain } from './chain.ts'
export { type Content, contentType, decodeContent, encodeContent } from './content.ts'
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
export { paddedLength } from './padding.ts'
export { createReceiver, type Opened, type Receiver } from './receiver.ts'
export { createSender, type Sender, sessionLimits } from './sender.ts'
