/** The least that a Bun server can do: hand each message to everybody in the room. Nothing is checked or kept. */
Bun.serve({
  port: Number(process.env.PORT),
  hostname: '127.0.0.1',
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response(null, { status: 400 })),
  websocket: {
    open(socket) {
      socket.subscribe('room')
    },
    message(socket, message) {
      socket.publish('room', message)
      socket.send(message)
    },
    close(socket) {
      socket.unsubscribe('room')
    },
  },
})
