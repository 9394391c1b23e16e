import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'

/** What this process counts, in Prometheus' text format at `/metrics`. */
export const metrics = new Registry()
collectDefaultMetrics({ register: metrics })

/** Labels are few and fixed: a path or an id in here would grow without bound and tell who does what. */
export const requestSeconds = new Histogram({
  name: 'usher_http_request_seconds',
  help: 'Time to answer a request',
  labelNames: ['face', 'method', 'status'] as const,
  buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
  registers: [metrics],
})

export const refusals = new Counter({
  name: 'usher_refusals_total',
  help: 'Requests and sockets that were refused, by error code',
  labelNames: ['code'] as const,
  registers: [metrics],
})

/** `outcome`: `accepted`, or how it failed. */
export const webhookAttempts = new Counter({
  name: 'usher_webhook_attempts_total',
  help: 'Attempts to deliver an event to an endpoint',
  labelNames: ['outcome'] as const,
  registers: [metrics],
})
