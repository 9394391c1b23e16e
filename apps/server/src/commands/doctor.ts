import type { Config } from '../config.ts'
import type { Instance } from '../domains/instances/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import type { Runtime } from '../runtime.ts'
import type { Finding } from './doctor/finding.ts'
import { networkFindings } from './doctor/network-findings.ts'
import { settingsFindings } from './doctor/settings-findings.ts'
import { findInstance, withRuntime } from './instances.ts'

type Flags = { instance?: string | undefined; offline?: boolean | undefined; json?: boolean | undefined }

const signs = { ok: '✓', missing: '✗', advice: '!' }

/** `usher doctor`: looks at everything that production demands. Exits with 1 where something is missing. */
export function doctor(config: Config, flags: Flags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const instance = chosen(runtime, flags.instance)
    const development = runtime.instances
      .list()
      .find((i) => i.applicationId === instance.applicationId && i.environment === 'development')
    const findings = [
      ...settingsFindings(config, instance, development, process.env),
      ...(flags.offline ? [] : await networkFindings(config, instance, development)),
    ]
    const missing = findings.filter(({ state }) => state === 'missing').length
    if (flags.json) console.log(JSON.stringify({ instance: instance.name, missing, findings }))
    else console.log(describe(instance, findings, missing))
    if (missing > 0) process.exitCode = 1
  })
}

function chosen({ instances }: Runtime, name: string | undefined): Instance {
  if (name !== undefined) return findInstance(instances, name)
  const [first, ...more] = instances.list().filter(({ environment }) => environment === 'production')
  if (!first) throw new ConfigError('There is no production instance yet. Make one with: usher promote --host HOST')
  if (more.length > 0)
    throw new ConfigError(
      `There are several production instances. Choose one with --instance: ${[first, ...more].map((i) => i.name).join(', ')}`,
    )
  return first
}

function describe({ name, host }: Instance, findings: Finding[], missing: number): string {
  const lines = findings.map(({ state, about, message }) => `  ${signs[state]} ${about}: ${message}`)
  const verdict =
    missing === 0 ? 'Nothing is missing.' : missing === 1 ? 'One thing is missing.' : `${missing} things are missing.`
  return [`Instance "${name}", https://${host}`, '', ...lines, '', verdict].join('\n')
}
