import { metrics } from '../kernel/metrics.ts'
import { equalSecrets } from '../kernel/secrets.ts'

/** Whether somebody may see the numbers: with the token for them, or without one a caller on this machine. */
export function maySeeMetrics(headers: Headers, ip: string, metricsToken: string | undefined): boolean {
  if (metricsToken) return equalSecrets(headers.get('authorization') ?? '', `Bearer ${metricsToken}`)
  // A proxy on this machine also comes from loopback: what it passes on is somebody else's request.
  const forwarded = ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip'].some((name) => headers.has(name))
  return !forwarded && /^(127\.|::1$)/.test(ip)
}

/** The numbers in Prometheus' text format. Whoever may not see them learns nothing of them. */
export async function answerMetrics(request: Request, ip: string, metricsToken: string | undefined): Promise<Response> {
  if (!maySeeMetrics(request.headers, ip, metricsToken)) return new Response('Not found\n', { status: 404 })
  return new Response(await metrics.metrics(), { headers: { 'content-type': metrics.contentType } })
}
