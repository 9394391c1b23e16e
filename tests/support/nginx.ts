import { spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from './usher.ts'

export const nginxPath = process.env.USHER_TEST_NGINX ?? ''

export type Nginx = AsyncDisposable & {
  /** The certificate of the authority that signed nginx's. */
  authorityFile: string
  /** Base64 of the SHA-256 of the certificate's public key, as Chromium's `--ignore-certificate-errors-spki-list` takes it. */
  spki: string
}

/**
 * A real nginx that ends TLS with a certificate of a local authority and passes hosts on, as docs/production.md says.
 *
 * @param sites port of the plain server behind each host name
 * @param options.refusesOthers otherwise other host names are passed on to the first site
 */
export async function startNginx(
  port: number,
  sites: Record<string, number>,
  { refusesOthers = true }: { refusesOthers?: boolean } = {},
): Promise<Nginx> {
  const directory = temporaryDirectory('usher-nginx-')
  const file = (name: string) => join(directory.path, name)
  makeCertificates(file, Object.keys(sites))
  writeFileSync(file('nginx.conf'), configuration(file, port, sites, refusesOthers))
  const child = Bun.spawn([nginxPath, '-p', directory.path, '-c', file('nginx.conf'), '-e', file('error.log')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
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
  const certificate = new X509Certificate(readFileSync(file('site.pem')))
  return {
    authorityFile: file('authority.pem'),
    spki: createHash('sha256')
      .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await child.exited
      directory[Symbol.dispose]()
    },
  }
}

export function makeCertificates(file: (name: string) => string, hosts: string[]): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl(
    'req',
    '-x509',
    ...key,
    '-days',
    '30',
    '-subj',
    '/CN=Test authority',
    '-keyout',
    file('authority.key'),
    '-out',
    file('authority.pem'),
  )
  openssl('req', ...key, '-subj', `/CN=${hosts[0]}`, '-keyout', file('site.key'), '-out', file('site.csr'))
  writeFileSync(file('site.ext'), `subjectAltName=${hosts.map((host) => `DNS:${host}`).join(',')}\n`)
  const signed = ['-CA', file('authority.pem'), '-CAkey', file('authority.key'), '-CAcreateserial', '-days', '30']
  openssl('x509', '-req', '-in', file('site.csr'), ...signed, '-extfile', file('site.ext'), '-out', file('site.pem'))
}

function openssl(...args: string[]): void {
  const made = spawnSync('openssl', args)
  if (made.status !== 0) throw new Error(`openssl failed: ${made.stderr}`)
}

function configuration(
  file: (name: string) => string,
  port: number,
  sites: Record<string, number>,
  refusesOthers: boolean,
): string {
  const others = `
  server {
    listen 127.0.0.1:${port} ssl default_server;
    return 444;
  }`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const servers = Object.entries(sites).map(
    ([host, upstream]) => `
  server {
    listen 127.0.0.1:${port} ssl;
    server_name ${host};
    client_max_body_size 16m;
    add_header Strict-Transport-Security "max-age=31536000" always;
    location / {
      proxy_pass http://127.0.0.1:${upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 1h;
    }
  }`,
  )
  return `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
worker_processes 1;
pid ${file('nginx.pid')};
events {}
http {
  access_log off;
${temporary.map((name) => `  ${name}_temp_path ${file(name)};`).join('\n')}
  ssl_certificate ${file('site.pem')};
  ssl_certificate_key ${file('site.key')};
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  ${refusesOthers ? others : ''}${servers.join('')}
}
`
}
