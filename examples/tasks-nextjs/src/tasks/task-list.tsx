'use client'

import { useActionState, useRef } from 'react'
import { useLive } from '@/live/live-room'
import { type ActionResult, addTask, removeTask, setTaskDone } from './actions'

type Item = { id: string; title: string; done: boolean }

export function TaskList({ title, tasks }: { title: string; tasks: Item[] }) {
  const { access, announceTasksChanged } = useLive()
  const readOnly = access === 'read'
  const addForm = useRef<HTMLFormElement>(null)

  // The controls are disabled for readers out of courtesy. What protects the tasks is the server action's own check,
  // and its refusal is shown like any other.
  const [refusal, run, pending] = useActionState(
    async (_: string | null, [action, form]: [(form: FormData) => Promise<ActionResult>, FormData]) => {
      const result = await action(form)
      if (!result.ok) return result.error
      if (action === addTask) addForm.current?.reset()
      announceTasksChanged()
      return null
    },
    null,
  )
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

      <form ref={addForm} className="add" action={(form) => run([addTask, form])}>
        <input
          name="title"
          type="text"
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
            <form action={(form) => run([setTaskDone, form])}>
              <input type="hidden" name="id" value={task.id} />
              <input type="hidden" name="done" value={String(!task.done)} />
              <input
                className="check"
                type="checkbox"
                checked={task.done}
                onChange={(event) => event.currentTarget.form?.requestSubmit()}
                aria-label={task.title}
                data-testid="task-toggle"
                disabled={readOnly}
              />
            </form>
            <span className="title">{task.title}</span>
            <form action={(form) => run([removeTask, form])}>
              <input type="hidden" name="id" value={task.id} />
              <button
                className="remove"
                type="submit"
                aria-label={`Delete ${task.title}`}
                data-testid="task-delete"
                disabled={readOnly}
              >
                ×
              </button>
            </form>
          </li>
        ))}
      </ul>
    </section>
  )
}
