export {
  type Channel,
  type Happening,
  type SecondFactorMethod,
  sampleData,
  type TemplateData,
  type TemplateName,
  type TextTemplateName,
  templateNames,
} from './catalog.ts'
export { deleteOldMessages } from './delete-old-messages.ts'
export { getMessage, listMessages, type Message } from './list-messages.ts'
export { mailTransport } from './mail-transport.ts'
export {
  getTemplate,
  listTemplates,
  previewTemplate,
  revertTemplate,
  setTemplate,
  type Template,
  type TemplateInput,
} from './manage-templates.ts'
export { type QueueEmailInput, type QueueTextInput, queueEmail, queueMessage } from './queue-message.ts'
export { MessageSender, type Transport } from './sender.ts'
export type { Rendered } from './templates.ts'
export { type TextProvider, textTransport } from './text-transport.ts'
export { queueEmailIfPossible, warnUser } from './warn-user.ts'
