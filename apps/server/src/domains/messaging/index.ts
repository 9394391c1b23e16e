export { getMessage, listMessages, type Message } from './list-messages.ts'
export { type QueueEmailInput, type QueueTextInput, queueEmail, queueMessage } from './queue-message.ts'
export { EmailSender } from './sender.ts'
export {
  type RenderedEmail,
  renderEmail,
  type TemplateData,
  type TemplateName,
  type TextTemplateName,
} from './templates.ts'
