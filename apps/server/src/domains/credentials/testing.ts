import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest()

type Options = { challenge: string; rpId?: string; rp?: { id?: string }; user?: { id: string } }

/** An authenticator in software, for tests: makes passkeys and signs with them as a device does. */
export class SoftwareAuthenticator {
  readonly credentialId = randomBytes(20)
  /** Counts up with each use; 0 stays 0, as on devices that do not count. */
  signCount = 0
  origin: string
  rpId: string | undefined
  userVerified = true
  private readonly privateKey: KeyObject
  private readonly publicKey: Buffer
  private userHandle: string | undefined

  /** @param origin of the page that asks */
  constructor(origin = 'http://localhost:3000') {
    this.origin = origin
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.privateKey = pair.privateKey
    const { x = '', y = '' } = pair.publicKey.export({ format: 'jwk' })
    // COSE_Key: {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}
    this.publicKey = Buffer.concat([
      Buffer.from([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]),
      Buffer.from(x, 'base64url'),
      Buffer.from([0x22, 0x58, 0x20]),
      Buffer.from(y, 'base64url'),
    ])
  }

  /** What `navigator.credentials.create` answers, as JSON text. */
  create(optionsJson: string): string {
    const options: Options = JSON.parse(optionsJson)
    this.rpId ??= options.rp?.id
    this.userHandle = options.user?.id
    const length = Buffer.alloc(2)
    length.writeUInt16BE(this.credentialId.length)
    const credential = Buffer.concat([Buffer.alloc(16), length, this.credentialId, this.publicKey])
    const authData = Buffer.concat([this.authenticatorData(0x40), credential])
    const size = Buffer.from([0x58, authData.length])
    const attestation = Buffer.concat([
      Buffer.from([0xa3, 0x63]),
      Buffer.from('fmt'),
      Buffer.from([0x64]),
      Buffer.from('none'),
      Buffer.from([0x67]),
      Buffer.from('attStmt'),
      Buffer.from([0xa0, 0x68]),
      Buffer.from('authData'),
      size,
      authData,
    ])
    return this.credential({
      clientDataJSON: this.clientData('webauthn.create', options.challenge).toString('base64url'),
      attestationObject: attestation.toString('base64url'),
      transports: ['internal'],
    })
  }

  /** What `navigator.credentials.get` answers, as JSON text. */
  get(optionsJson: string): string {
    const options: Options = JSON.parse(optionsJson)
    if (this.signCount > 0) this.signCount += 1
    const authData = this.authenticatorData(0)
    const clientData = this.clientData('webauthn.get', options.challenge)
    const signature = sign('sha256', Buffer.concat([authData, sha256(clientData)]), this.privateKey)
    return this.credential({
      clientDataJSON: clientData.toString('base64url'),
      authenticatorData: authData.toString('base64url'),
      signature: signature.toString('base64url'),
      userHandle: this.userHandle,
    })
  }

  private authenticatorData(flags: number): Buffer {
    const count = Buffer.alloc(4)
    count.writeUInt32BE(this.signCount)
    const present = 0x01 | (this.userVerified ? 0x04 : 0)
    return Buffer.concat([sha256(this.rpId ?? 'localhost'), Buffer.from([flags | present]), count])
  }

  private clientData(type: string, challenge: string): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.origin, crossOrigin: false }))
  }

  private credential(response: Record<string, unknown>): string {
    const id = this.credentialId.toString('base64url')
    return JSON.stringify({ id, rawId: id, type: 'public-key', clientExtensionResults: {}, response })
  }
}
