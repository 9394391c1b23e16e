/** Socket.IO as it is installed, over WebSocket only: what somebody says goes to everybody in the room, the sender too. */
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()
const io = new Server(http, { transports: ['websocket'] })
io.on('connection', (socket) => {
  socket.on('join', (room) => socket.join(room))
  socket.on('m', (room, text) => io.to(room).emit('m', text))
})
http.listen(Number(process.env.PORT), '127.0.0.1')
