/** One line of the table. */
export type Row = {
  name: string
  ours: string
  /** Empty when the target is a number of its own and not a peer. */
  peer: string
  /** Ours by peer's, or our own number where there is no peer. */
  ratio: string
  target: string
  met: boolean | undefined
}

export type Result = {
  rows: Row[]
  /** What a reader must know to judge the rows, one paragraph each. */
  notes: string[]
}

/** A benchmark: how it measures is said in one place, next to what it measures. */
export type Benchmark = {
  name: string /** Runs together with the others of it. */
  group?: string
  method: string
  run: () => Promise<Result>
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** A rate for people: three digits are all that a run on one machine tells. */
export const perSecond = (value: number): string => `${grouped.format(Number(value.toPrecision(3)))}/s`

export const times = (value: number): string => `${value >= 10 ? value.toFixed(1) : value.toFixed(2)}x`

/** Compares a rate with a peer's; a target of `undefined` is for information. */
export function compare(name: string, ours: number, peer: number, target: number | undefined): Row {
  return {
    name,
    ours: perSecond(ours),
    peer: perSecond(peer),
    ratio: times(ours / peer),
    target: target === undefined ? '–' : `≥ ${target}x`,
    met: target === undefined ? undefined : ours / peer >= target,
  }
}

/** Compares a number with a limit that it must not pass. */
export function atMost(name: string, value: number, limit: number, unit: string, digits = 0): Row {
  const ours = `${value.toFixed(digits)} ${unit}`
  return {
    name,
    ours,
    peer: '',
    ratio: `${(value / limit).toFixed(2)} of the limit`,
    target: `≤ ${limit} ${unit}`,
    met: value <= limit,
  }
}

export function toMarkdown(rows: readonly Row[]): string {
  const head = ['benchmark', 'ours', 'peer', 'ratio', 'target', 'met']
  const lines = rows.map((row) => [row.name, row.ours, row.peer || '–', row.ratio, row.target, verdict(row.met)])
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const verdict = (met: boolean | undefined) => (met === undefined ? '–' : met ? 'yes' : '**no**')
