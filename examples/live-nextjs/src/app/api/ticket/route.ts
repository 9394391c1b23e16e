import { createTicketRoute } from '@usher/nextjs/realtime'

/** The one place where the session cookie counts for sockets: it buys a ticket for one of them. */
export const POST = createTicketRoute()
