export { instanceId, instant, json, type Metadata, metadata } from './columns.ts'
export { type Database, type Db, openDatabase } from './database.ts'
export { insertRow, insertRows, prepared, textArray } from './prepared.ts'
export { type NewEvent, type Tx, transaction } from './transaction.ts'
