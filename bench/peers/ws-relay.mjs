/** A relay on `ws`: the address is the room, and what somebody says goes to everybody in it. */
import { WebSocketServer } from 'ws'

const rooms = new Map()
const server = new WebSocketServer({ port: Number(process.env.PORT), host: '127.0.0.1', perMessageDeflate: false })
server.on('connection', (socket, request) => {
  const room = rooms.get(request.url) ?? new Set()
  rooms.set(request.url, room)
  room.add(socket)
  socket.on('message', (message, binary) => {
    for (const other of room) other.send(message, { binary })
  })
  socket.on('close', () => room.delete(socket))
  socket.on('error', () => {})
})
