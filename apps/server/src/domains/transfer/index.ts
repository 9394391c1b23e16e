export { type ExportInput, exportInstance } from './export-instance.ts'
export { type ImportInput, type ImportProgress, type ImportReport, importUsers } from './import-users.ts'
export type { Reject } from './write-batch.ts'
