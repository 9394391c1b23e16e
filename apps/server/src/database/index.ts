export { instanceId, instant, json, type Metadata, metadata } from './columns.ts'
export { type Database, type Db, openDatabase } from './database.ts'
export { insertRow, insertRows, place, prepared, textArray, writeRow } from './prepared.ts'
export { type NewEvent, type Tx, transaction } from './transaction.ts'
