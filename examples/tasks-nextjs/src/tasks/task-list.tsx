'use client'

import { startTransition, useActionState, useState } from 'react'
import { useLive } from '@/live/live-room'
import { type ActionResult, addTask, removeTask, setTaskDone } from './actions'

type Item = { id: string; title: string; done: boolean }

export function TaskList({ title, tasks }: { title: string; tasks: Item[] }) {
  const { access, announceTasksChanged } = useLive()
  const readOnly = access === 'read'
  const [draft, setDraft] = useState('')

  // The controls are disabled for readers out of courtesy. What protects the tasks is the server action's own check,
  // and its refusal is shown like any other.
  const [refusal, dispatch, pending] = useActionState(async (_: string | null, act: () => Promise<ActionResult>) => {
    const result = await act().catch(() => ({ ok: false as const, error: 'The server did not answer. Try again.' }))
    if (!result.ok) return result.error
    announceTasksChanged()
    return null
  }, null)
  const run = (act: () => Promise<ActionResult>) => startTransition(() => dispatch(act))

  const add = async () => {
    const result = await addTask({ title: draft })
    if (result.ok) setDraft('')
    return result
  }
  const open = tasks.filter((task) => !task.done).length

  return (
    <section className="card" aria-labelledby="tasks-title" aria-busy={pending}>
      <header className="card-head">
        <div>
          <h2 id="tasks-title">{title}</h2>
          <p className="quiet">{tasks.length === 0 ? 'Nothing to do yet' : `${open} of ${tasks.length} to do`}</p>
        </div>
        {readOnly && (
          <span className="badge" data-testid="read-only" title="Your role may read, but not write.">
            Read only
          </span>
        )}
      </header>

      <form
        className="add"
        onSubmit={(event) => {
          event.preventDefault()
          run(add)
        }}
      >
        <input
          type="text"
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          data-testid="task-input"
          aria-label="New task"
          placeholder={readOnly ? 'Your role may read tasks, but not add any' : 'What is to be done?'}
          maxLength={200}
          autoComplete="off"
          disabled={readOnly}
          required
        />
        <button className="button" type="submit" data-testid="task-add" disabled={readOnly}>
          Add
        </button>
      </form>
      {refusal && (
        <p className="alert" role="alert" data-testid="task-error">
          {refusal}
        </p>
      )}

      <ul className="tasks" data-testid="task-list">
        {tasks.map((task) => (
          <li key={task.id} data-testid="task" data-task-id={task.id} data-done={task.done}>
            <input
              className="check"
              type="checkbox"
              checked={task.done}
              onChange={(event) => {
                const done = event.target.checked
                run(() => setTaskDone({ id: task.id, done }))
              }}
              aria-label={task.title}
              data-testid="task-toggle"
              disabled={readOnly}
            />
            <span className="title">{task.title}</span>
            <button
              className="remove"
              type="button"
              onClick={() => run(() => removeTask({ id: task.id }))}
              aria-label={`Delete ${task.title}`}
              data-testid="task-delete"
              disabled={readOnly}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
