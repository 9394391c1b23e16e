/** The least that a Bun server can do: hand each message to everybody in the room. Nothing is checked or kept. */
Bun.serve({
  port: Number(process.env.PORT),
  hostname: '127.0.0.1',
  fetch: (request, server) =>
    server.upgrade(request, { data: new URL(request.url).pathname }) ? undefined : new Response(null, { status: 400 }),
  websocket: {
    data: '' as string,
    open(socket) {
      socket.subscribe(socket.data)
    },
    message(socket, message) {
      socket.publish(socket.data, message)
      socket.send(message)
    },
    close(socket) {
      socket.unsubscribe(socket.data)
    },
  },
})
