export { EventBus, type UsherEvent } from './bus.ts'
export { announceOn, emit } from './emit.ts'
