/**
 * Opens sockets that say what a client says at first, and then nothing. Each `open` line on stdin opens more of them;
 * it answers with the number that are open. Addresses of 127.0.0.0/8 take turns, as callers have different ones.
 */
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { clientFrame, upgradeRequest } from '../support/web-socket-frames.ts'
import { emptyStep1 } from '../support/yjs-updates.ts'

export type IdleSocketsCommand = { port: number; paths: string[] }

const atOnce = 50
const perAddress = 40
let opened = 0
let address = 0
const sockets: Socket[] = []

function open(port: number, path: string): Promise<void> {
  if (opened++ % perAddress === 0) address++
  const localAddress = `127.0.${1 + Math.floor(address / 250)}.${1 + (address % 250)}`
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  sockets.push(socket)
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server closed a connection')))
    socket.once('connect', () => socket.write(upgradeRequest(path, port)))
    socket.once('data', (chunk: Buffer) => {
      if (!chunk.subarray(0, 12).toString().endsWith('101'))
        return reject(new Error(`refused: ${chunk.subarray(0, 300)}`))
      socket.write(clientFrame(emptyStep1))
      socket.on('data', () => {})
      resolve()
    })
  })
}

for await (const line of createInterface({ input: process.stdin })) {
  const { port, paths }: IdleSocketsCommand = JSON.parse(line)
  for (let i = 0; i < paths.length; i += atOnce)
    await Promise.all(paths.slice(i, i + atOnce).map((path) => open(port, path)))
  console.log(JSON.stringify({ open: sockets.filter((socket) => !socket.destroyed).length }))
}
process.exit(0)
