import type { Tx } from './transaction.ts'

/** What several want to know, and whoever waits for the answers. */
type Batch<Question, Answer> = { questions: Question[]; answers: Promise<readonly Answer[]> }

/**
 * A question to the database that many put one by one. Those who put it in the same moment, in a transaction that they
 * share (see `transactionTogether`), are answered by one statement: what it costs to begin one is paid once.
 *
 * @param ask answers several, in their order
 */
export function askedTogether<Question, Answer>(
  ask: (tx: Tx, questions: readonly Question[]) => Promise<readonly Answer[]>,
): (tx: Tx, question: Question) => Promise<Answer> {
  const gathering = new WeakMap<object, Batch<Question, Answer>>()
  return async (tx, question) => {
    let batch = gathering.get(tx.connection)
    if (!batch) {
      const questions: Question[] = []
      // Those who share a transaction take the same steps at the same time: after this one, all have asked.
      const answers = Promise.resolve().then(() => {
        gathering.delete(tx.connection)
        return ask(tx, questions)
      })
      batch = { questions, answers }
      gathering.set(tx.connection, batch)
    }
    const place = batch.questions.push(question) - 1
    return (await batch.answers)[place] as Answer
  }
}
