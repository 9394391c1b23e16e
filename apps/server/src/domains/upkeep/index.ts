export { deleteWhatIsOver } from './delete-what-is-over.ts'
export { Upkeep } from './upkeep.ts'
