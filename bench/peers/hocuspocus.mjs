/** Hocuspocus as it is installed, with its batching (`flushDelay` 0, the default) and nothing stored. */
import { Server } from '@hocuspocus/server'

const server = new Server({ port: Number(process.env.PORT), address: '127.0.0.1', quiet: true })
await server.listen()
