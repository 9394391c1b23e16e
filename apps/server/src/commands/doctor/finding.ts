/** One thing that was looked at. Every `missing` keeps an instance from being fit for production. */
export type Finding = { state: 'ok' | 'missing' | 'advice'; about: string; message: string }

/** Says `ok` when all is well, else what to do. */
export function finding(about: string, good: boolean, ok: string, otherwise: string): Finding {
  return good ? { state: 'ok', about, message: ok } : { state: 'missing', about, message: otherwise }
}

export const advice = (about: string, message: string): Finding => ({ state: 'advice', about, message })
