import { expect, test } from 'bun:test'
import { deflateSync } from 'node:zlib'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { createOrganization } from '../organizations/index.ts'
import { deleteWhatIsOver } from '../upkeep/index.ts'
import { createUser, deleteUser, getUser } from '../users/index.ts'
import { deleteUserImage, findImage, setOrganizationLogo, setUserImage } from './images.ts'
import { bucketStorage, useObjectStorage } from './object-storage.ts'
import { processImage } from './process-image.ts'
import { images } from './tables.ts'
import { chunk, png } from './testing.ts'

const base64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))
const gif = base64('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7')

test('takes PNG, JPEG, WebP and GIF, and makes a small picture without anything but its pixels of each', async () => {
  const source = new Bun.Image(png(1200, 600, 'taken at home'))
  const uploads = [png(1200, 600, 'taken at home'), await source.jpeg().bytes(), await source.webp().bytes()]
  for (const upload of uploads) {
    const { bytes, contentType } = await processImage(upload)
    expect(contentType).toBe('image/webp')
    expect(await new Bun.Image(bytes).metadata()).toEqual({ width: 512, height: 256, format: 'webp' })
    expect(Buffer.from(bytes).includes('taken at home')).toBe(false)
  }
  const { bytes } = await processImage(gif)
  expect(await new Bun.Image(bytes).metadata()).toEqual({ width: 1, height: 1, format: 'webp' })
})

test('turns a photo the right way up, and forgets where it was taken', async () => {
  const jpeg = Buffer.from(await new Bun.Image(png(600, 300)).jpeg().bytes())
  // EXIF with the orientation "turned by 90°" and a text, right behind the first marker.
  const tiff = Buffer.from('4d4d002a00000008000101120003000000010006000000000000', 'hex')
  const exif = Buffer.concat([Buffer.from('Exif\0\0'), tiff, Buffer.from('GPS 52.52,13.40')])
  const header = Buffer.from([0xff, 0xe1, 0, 0])
  header.writeUInt16BE(exif.length + 2, 2)
  const photo = Buffer.concat([jpeg.subarray(0, 2), header, exif, jpeg.subarray(2)])
  const { bytes } = await processImage(photo)
  expect(await new Bun.Image(bytes).metadata()).toMatchObject({ width: 256, height: 512 })
  expect(Buffer.from(bytes).includes('GPS')).toBe(false)
})

test('O2 what is no picture is refused, whatever it says it is', async () => {
  const texts = [
    '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    '<html>',
    '',
    'GIF',
    'BM123456789012345678901234',
  ]
  const broken = [
    png(50, 50).subarray(0, 60),
    Buffer.from('\x89PNG\r\n\x1a\n'),
    Buffer.from('GIF89a'),
    Buffer.from('RIFF1234WEBP'),
  ]
  for (const upload of [...texts.map((text) => Buffer.from(text)), ...broken])
    await expect(processImage(upload)).rejects.toMatchObject({ code: 'avatar_file_type_invalid' })
})

test('a small file that unpacks to a huge picture is refused before it does', async () => {
  const ihdr = Buffer.alloc(13)
  ihdr.writeUInt32BE(60_000, 0)
  ihdr.writeUInt32BE(60_000, 4)
  ihdr.set([8, 2, 0, 0, 0], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  const bomb = Buffer.concat([
    signature,
    chunk('IHDR', ihdr),
    chunk('IDAT', deflateSync(Buffer.alloc(1_000_000))),
    chunk('IEND', Buffer.alloc(0)),
  ])
  const before = process.memoryUsage().rss
  await expect(processImage(bomb)).rejects.toMatchObject({ code: 'avatar_file_size_exceeded' })
  expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000)
  const long = Buffer.concat([png(1, 1), Buffer.alloc(10 * 1024 * 1024)])
  await expect(processImage(long)).rejects.toMatchObject({ code: 'avatar_file_size_exceeded' })
})

test('a new picture takes the place of the one before, also of many at once, and goes with its owner', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const { id } = await createUser(ctx, {})
  const first = await setUserImage(ctx, id, png(20, 20))
  expect(first.imageUrl).toStartWith(`http://${t.host}/v1/images/img_`)
  await Promise.all([1, 2, 3, 4].map((n) => setUserImage(ctx, id, png(20 + n, 20))))
  const rows = await transaction(ctx, (tx) => tx.db.select().from(images))
  expect(rows.map((row) => row.id)).toEqual([(await getUser(ctx, id)).imageId as string])
  expect(await findImage(ctx, first.imageId as string)).toBeUndefined()
  await deleteUserImage(ctx, id)
  expect(await getUser(ctx, id)).toMatchObject({ imageId: null, imageUrl: null })
  const last = await setUserImage(ctx, id, png(20, 20))
  await deleteUser(ctx, id)
  expect(await findImage(ctx, last.imageId as string)).toBeUndefined()
})

test('a picture is served for ever, as a picture only, and by its own instance only', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { id } = await createUser(t.ctx(), {})
  const { imageUrl } = await setUserImage(t.ctx(), id, png(64, 64))
  const path = new URL(imageUrl ?? '').pathname
  const answer = await t.fetch(path)
  expect(answer.status).toBe(200)
  const headers = Object.fromEntries(answer.headers)
  expect(headers).toMatchObject({
    'content-type': 'image/webp',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox",
    'cache-control': 'public, max-age=31536000, immutable',
    'cross-origin-resource-policy': 'cross-origin',
  })
  expect(headers['set-cookie']).toBeUndefined()
  expect(await new Bun.Image(await answer.bytes()).metadata()).toMatchObject({ width: 64, height: 64 })
  expect((await t.fetch(path, { headers: { 'if-none-match': headers.etag ?? '' } })).status).toBe(304)
  expect((await t.fetch(path, { headers: { origin: 'https://elsewhere.example' } })).status).toBe(200)
  expect((await other.fetch(path)).status).toBe(404)
  expect((await t.fetch('/v1/images/img_nobody')).status).toBe(404)
})

test('a bucket keeps the pictures where one is set up', async () => {
  const t = await testInstance()
  const objects = new Map<string, { bytes: Uint8Array; type: string | null }>()
  const seen: string[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname } = new URL(request.url)
      seen.push(`${request.method} ${request.headers.get('authorization')?.split(' ')[0]}`)
      if (request.method === 'PUT') {
        if (pathname.includes('refused')) return new Response('', { status: 403 })
        objects.set(pathname, { bytes: await request.bytes(), type: request.headers.get('content-type') })
        return new Response('')
      }
      const found = objects.get(pathname)
      if (request.method === 'DELETE') return new Response(null, { status: objects.delete(pathname) ? 204 : 404 })
      if (found) return new Response(new Uint8Array(found.bytes))
      const body = '<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>none</Message></Error>'
      return new Response(body, { status: 404, headers: { 'content-type': 'application/xml' } })
    },
  })
  try {
    const database = { ...t.server.runtime.database } as typeof t.server.runtime.database
    const ctx = { ...t.ctx(), database }
    const bucket = (name: string) =>
      bucketStorage({
        endpoint: `http://127.0.0.1:${server.port}`,
        region: 'eu-central-1',
        bucket: name,
        accessKeyId: 'key',
        secretAccessKey: 'secret',
      })
    useObjectStorage(database, bucket('pictures'))
    const { id } = await createUser(ctx, {})
    const first = await setUserImage(ctx, id, png(30, 30))
    expect([...objects.keys()]).toEqual([`/pictures/${ctx.instance.id}/${first.imageId}`])
    expect([...objects.values()][0]?.type).toBe('image/webp')
    expect((await transaction(ctx, (tx) => tx.db.select().from(images)))[0]?.bytes).toBeNull()
    const found = await findImage(ctx, first.imageId as string)
    expect(await new Bun.Image(found?.bytes ?? new Uint8Array()).metadata()).toMatchObject({ width: 30 })
    const second = await setUserImage(ctx, id, png(31, 30))
    expect([...objects.keys()]).toEqual([`/pictures/${ctx.instance.id}/${second.imageId}`])
    const { id: leaving } = await createUser(ctx, {})
    const last = await setUserImage(ctx, leaving, png(32, 30))
    await deleteUser(ctx, leaving)
    expect(await findImage(ctx, last.imageId as string)).toBeUndefined()
    expect(objects.size).toBe(2)
    expect(await deleteWhatIsOver(ctx)).toBe(1)
    expect([...objects.keys()]).toEqual([`/pictures/${ctx.instance.id}/${second.imageId}`])
    objects.clear()
    expect(await findImage(ctx, second.imageId as string)).toBeUndefined()
    expect(seen.every((call) => call.endsWith('AWS4-HMAC-SHA256'))).toBe(true)
    useObjectStorage(database, bucket('refused'))
    await expect(setUserImage(ctx, id, png(30, 30))).rejects.toMatchObject({ code: 'unavailable' })
    expect((await getUser(ctx, id)).imageId).toBe(second.imageId)
  } finally {
    await server.stop(true)
  }
})

test('an organization’s logo is for those who may manage its profile', async () => {
  const t = await testInstance()
  const { id: userId } = await createUser(t.ctx(), {})
  const { id } = await createOrganization(t.ctx(), { name: 'Acme' })
  const stranger = t.ctx({ type: 'user', userId, sessionId: 's', clientId: 'c', organizationId: null })
  await expect(setOrganizationLogo(stranger, id, png(9, 9))).rejects.toMatchObject({
    code: 'organization_not_found_or_unauthorized',
  })
  expect((await setOrganizationLogo(t.ctx(), id, png(9, 9))).imageUrl).toContain('/v1/images/img_')
})
