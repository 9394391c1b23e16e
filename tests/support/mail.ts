import { createServer, type Socket } from 'node:net'

export type MailServer = AsyncDisposable & { url: string; received: { to: string; data: string }[] }

/** As much of a mail server as a sender meets: it takes every message and keeps it. */
export async function startMailServer(): Promise<MailServer> {
  const received: MailServer['received'] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    let buffered = ''
    let to = ''
    let inData = false
    socket.write('220 test\r\n')
    socket.on('data', (chunk) => {
      buffered += chunk
      for (;;) {
        const end = inData ? '\r\n.\r\n' : '\r\n'
        const at = buffered.indexOf(end)
        if (at < 0) return
        const line = buffered.slice(0, at)
        buffered = buffered.slice(at + end.length)
        if (inData) received.push({ to, data: line })
        else if (/^RCPT/i.test(line)) to = line.match(/<(.*)>/)?.[1] ?? ''
        const wasData = inData
        inData = !wasData && /^DATA/i.test(line)
        if (/^QUIT/i.test(line) && !wasData) socket.end('221 bye\r\n')
        else socket.write(inData ? '354 go\r\n' : '250 ok\r\n')
      }
    })
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as { port: number }
  return {
    url: `smtp://127.0.0.1:${port}`,
    received,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

/** The six digits of the newest message to an address. */
export async function codeMailedTo(mail: MailServer, address: string): Promise<string> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await Bun.sleep(50)) {
    const found = mail.received.findLast(({ to }) => to === address)?.data.match(/(?<!\d)\d{6}(?!\d)/)
    if (found) return found[0]
  }
  throw new Error(`no code was mailed to ${address}`)
}
