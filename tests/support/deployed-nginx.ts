import { spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeCertificates, nginxPath } from './nginx.ts'
import { freePort } from './postgres.ts'
import { temporaryDirectory } from './usher.ts'

const shipped = join(import.meta.dir, '../../deploy/nginx')

export type DeployedNginx = AsyncDisposable & {
  authorityFile: string
  /** For Chromium's `--ignore-certificate-errors-spki-list`. */
  spki: string
  accessLog(): string
  errorLogs(): string
}

type Options = {
  port: number
  /** Names of the server and of the application. */
  hosts: { usher: string; app: string }
  /** Ports of the nodes. */
  usher: number[]
  app?: number
}

/** A real nginx with the configuration of `deploy/nginx`; only names, ports and paths are other ones. */
export async function startDeployedNginx({ port, hosts, usher, app = 9 }: Options): Promise<DeployedNginx> {
  const directory = temporaryDirectory('usher-deployed-')
  const file = (name: string) => join(directory.path, name)
  cpSync(shipped, file('usher'), { recursive: true })
  mkdirSync(file('log'))
  makeCertificates(file, [hosts.usher, hosts.app])
  const plainPort = await freePort()
  const nodes = (flags: string) => usher.map((node) => `server 127.0.0.1:${node} ${flags};`).join('\n  ')
  for (const name of ['usher.conf', 'usher-proxy.conf', 'usher-socket.conf']) {
    const text = readFileSync(file(`usher/${name}`), 'utf8')
      .replaceAll('/etc/nginx/usher/', `${file('usher')}/`)
      .replaceAll('/var/log/nginx/', `${file('log')}/`)
      .replaceAll(/\/etc\/letsencrypt\/live\/[^/]+\/fullchain\.pem/g, file('site.pem'))
      .replaceAll(/\/etc\/letsencrypt\/live\/[^/]+\/privkey\.pem/g, file('site.key'))
      .replaceAll(/server 127\.0\.0\.1:3913 (.*);/g, (_, flags: string) => nodes(flags))
      .replaceAll('127.0.0.1:3000', `127.0.0.1:${app}`)
      .replaceAll('auth.example.com', hosts.usher)
      .replaceAll('app.example.com', hosts.app)
      .replaceAll('listen 443 ', `listen 127.0.0.1:${port} `)
      .replaceAll('listen 80 ', `listen 127.0.0.1:${plainPort} `)
    writeFileSync(file(`usher/${name}`), text)
  }
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    file('nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
worker_processes 1;
pid ${file('nginx.pid')};
events {}
http {
  access_log off;
${temporary.map((name) => `  ${name}_temp_path ${file(name)};`).join('\n')}
  include ${file('usher')}/usher.conf;
}
`,
  )
  const args = ['-p', directory.path, '-c', file('nginx.conf'), '-e', file('log/error.log')]
  const checked = spawnSync(nginxPath, ['-t', ...args], { encoding: 'utf8' })
  if (checked.status !== 0 || /warn|emerg/.test(checked.stderr)) throw new Error(`nginx -t: ${checked.stderr}`)
  const child = Bun.spawn([nginxPath, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  const deadline = Date.now() + 10_000
  const isOpen = () =>
    Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {}, open: (socket) => void socket.end() } }).then(
      () => true,
      () => false,
    )
  while (!(await isOpen())) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`nginx did not start: ${await new Response(child.stderr).text()}`)
    await Bun.sleep(20)
  }
  const key = new X509Certificate(readFileSync(file('site.pem'))).publicKey.export({ type: 'spki', format: 'der' })
  const read = (name: string) => {
    try {
      return readFileSync(file(`log/${name}`), 'utf8')
    } catch {
      return ''
    }
  }
  return {
    authorityFile: file('authority.pem'),
    spki: createHash('sha256').update(key).digest('base64'),
    accessLog: () => read('usher.log'),
    errorLogs: () => read('error.log') + read('usher-sockets.log'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await child.exited
      directory[Symbol.dispose]()
    },
  }
}
