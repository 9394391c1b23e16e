/**
 * HTTP requests one after the other, and how long each took. Refuses to measure anything but 200. Cookies that answers
 * set are sent with what follows, as a browser does.
 */
export type LatencyInput = {
  port: number
  /** Asked first and not counted: connections, plans and caches are warm then. */
  warmUp: number
  /** How many are under way at any moment. */
  lanes: number
  requests: { method: string; path: string; headers: Record<string, string>; body?: string }[]
}
/** Milliseconds. */
export type LatencyResult = { p50: number; p95: number; max: number }

const { port, warmUp, lanes, requests }: LatencyInput = await Bun.stdin.json()
const maxMs = 15_000
const cookies = new Map<string, string>()
const durations: number[] = []
let next = 0

async function ask({ method, path, headers, body }: LatencyInput['requests'][number]) {
  const sent =
    cookies.size > 0 ? { ...headers, cookie: [...cookies].map((pair) => pair.join('=')).join('; ') } : headers
  const startedAt = performance.now()
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: sent, body: body ?? null })
  const text = await response.text()
  durations.push(performance.now() - startedAt)
  if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 600)}`)
  for (const cookie of response.headers.getSetCookie()) {
    const [, name = '', value = ''] = cookie.match(/^([^=]+)=([^;]*)/) ?? []
    if (headers.cookie !== undefined) cookies.set(name, value)
  }
}

async function lane() {
  // What is very slow is known to be so after fewer requests.
  for (let request = requests[next++]; request && performance.now() < maxMs; request = requests[next++])
    await ask(request)
}

await Promise.all(Array.from({ length: lanes }, lane))
const counted = durations.slice(Math.min(warmUp, Math.floor(durations.length / 2))).sort((a, b) => a - b)
const at = (share: number) => counted[Math.min(counted.length - 1, Math.floor(share * counted.length))] ?? Number.NaN
const result: LatencyResult = { p50: at(0.5), p95: at(0.95), max: at(1) }
console.log(JSON.stringify(result))
process.exit(0)
