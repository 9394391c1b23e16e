import type { NextConfig } from 'next'

const config: NextConfig = {
  // Clerk's browser SDK posts to a few paths that end in a slash; without this each costs a redirect.
  skipTrailingSlashRedirect: true,
  // Both are TypeScript as they stand in this repository.
  transpilePackages: ['@usher/nextjs', '@usher/sync'],
  // This folder, not the repository around it, is the project.
  turbopack: { root: import.meta.dirname },
  devIndicators: false,
}

export default config
