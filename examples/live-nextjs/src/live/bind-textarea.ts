import * as Y from 'yjs'

type Delta = Y.YTextEvent['delta']

/**
 * Keeps a textarea and a Y.Text the same, both ways. The caret stays where it was in the text when others type, an
 * input method's composition is not disturbed, and undo takes back one's own changes only.
 *
 * @returns stops it
 */
export function bindTextarea(text: Y.Text, area: HTMLTextAreaElement): () => void {
  const origin = { area }
  const undo = new Y.UndoManager(text, { trackedOrigins: new Set([origin]) })
  let shown = text.toString()
  let composing = false
  /** Changes of others that arrived during a composition. */
  let waiting: Delta[] = []
  area.value = shown

  const takeInput = () => {
    if (composing || area.readOnly) return
    const { index, removed, inserted } = difference(shown, area.value, area.selectionEnd)
    const start = waiting.reduce(moveIndex, index)
    const end = waiting.reduce(moveIndex, index + removed)
    const behind = waiting.length > 0
    waiting = []
    shown = area.value
    text.doc?.transact(() => {
      if (end > start) text.delete(start, end - start)
      if (inserted) text.insert(start, inserted)
    }, origin)
    if (behind) show(start + inserted.length, start + inserted.length)
  }

  const show = (selectionStart: number, selectionEnd: number) => {
    shown = text.toString()
    const { scrollTop } = area
    area.value = shown
    if (document.activeElement === area) area.setSelectionRange(selectionStart, selectionEnd)
    area.scrollTop = scrollTop
  }

  const takeChange = (event: Y.YTextEvent, transaction: Y.Transaction) => {
    if (transaction.origin === origin) return
    if (composing) waiting.push(event.delta)
    else show(moveIndex(area.selectionStart, event.delta), moveIndex(area.selectionEnd, event.delta))
  }

  const startComposition = () => {
    composing = true
  }
  const endComposition = () => {
    composing = false
    takeInput()
  }
  const takeKey = (event: KeyboardEvent) => {
    // The browser's own undo history does not survive a change of `value` by script.
    if (!(event.ctrlKey || event.metaKey) || area.readOnly) return
    const key = event.key.toLowerCase()
    if (key !== 'z' && key !== 'y') return
    event.preventDefault()
    if (key === 'y' || event.shiftKey) undo.redo()
    else undo.undo()
  }

  text.observe(takeChange)
  area.addEventListener('input', takeInput)
  area.addEventListener('compositionstart', startComposition)
  area.addEventListener('compositionend', endComposition)
  area.addEventListener('keydown', takeKey)
  return () => {
    text.unobserve(takeChange)
    area.removeEventListener('input', takeInput)
    area.removeEventListener('compositionstart', startComposition)
    area.removeEventListener('compositionend', endComposition)
    area.removeEventListener('keydown', takeKey)
    undo.destroy()
  }
}

/**
 * The one replacement that turns `before` into `after`.
 *
 * @param caret end of the selection in `after`: tells which of several equal letters was typed
 */
export function difference(before: string, after: string, caret: number) {
  const most = Math.min(before.length, after.length)
  let tail = 0
  while (tail < Math.min(most, after.length - caret) && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  let head = 0
  while (head < most - tail && before[head] === after[head]) head++
  // Never cut through a surrogate pair: half of one is not text.
  if (isHighSurrogate(before, head - 1) || isHighSurrogate(after, head - 1)) head--
  const cutsTail = isHighSurrogate(before, before.length - tail - 1) || isHighSurrogate(after, after.length - tail - 1)
  if (tail > 0 && cutsTail) tail--
  return { index: head, removed: before.length - head - tail, inserted: after.slice(head, after.length - tail) }
}

/** Where an index of the old text lies after a change by somebody else. What is inserted at the index goes behind it. */
export function moveIndex(index: number, delta: Delta): number {
  let moved = index
  let at = 0
  for (const step of delta) {
    if (step.retain !== undefined) {
      at += step.retain
    } else if (step.delete !== undefined) {
      moved -= Math.max(0, Math.min(step.delete, moved - at))
    } else if (typeof step.insert === 'string') {
      if (at < moved) moved += step.insert.length
      at += step.insert.length
    }
  }
  return moved
}

function isHighSurrogate(value: string, index: number): boolean {
  const unit = value.charCodeAt(index)
  return unit >= 0xd800 && unit <= 0xdbff
}
