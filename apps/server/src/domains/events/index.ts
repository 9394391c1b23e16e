export { EventBus, type UsherEvent } from './bus.ts'
export { announceOn, busOf, emit } from './emit.ts'
