/** For `npm run db:generate`, which writes the migration after a change of the tables. */
export default { dialect: 'sqlite', schema: './src/tasks/tables.ts', out: './migrations' }
