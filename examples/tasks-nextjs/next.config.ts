import type { NextConfig } from 'next'

const config: NextConfig = {
  // Clerk's browser SDK posts to a few paths that end in a slash; without this each costs a redirect.
  skipTrailingSlashRedirect: true,
  // SQLite is native code: loaded by Node as it is, not bundled.
  serverExternalPackages: ['@libsql/client', 'libsql'],
  // This folder, not the repository around it, is the project.
  turbopack: { root: import.meta.dirname },
  devIndicators: false,
}

export default config
