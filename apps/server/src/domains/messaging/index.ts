export { getMessage, listMessages, type Message } from './list-messages.ts'
export { type QueueEmailInput, queueEmail } from './queue-email.ts'
export { EmailSender } from './sender.ts'
export { type RenderedEmail, renderEmail, type TemplateData, type TemplateName } from './templates.ts'
