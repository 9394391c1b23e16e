import { ClerkProvider, OrganizationSwitcher, Show, SignInButton, UserButton } from '@clerk/nextjs'
import type { Metadata } from 'next'
import Link from 'next/link'
import type { ReactNode } from 'react'
import { AfterHydration } from '@/live/after-hydration'
import './globals.css'

export const metadata: Metadata = {
  title: 'Live',
  description: 'Chat, presence, notifications and an encrypted document, on Usher.',
}

export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <ClerkProvider appearance={appearance}>
          <header className="top">
            <Link className="brand" href="/">
              <span aria-hidden="true">●</span> Live
            </Link>
            <Show when="signed-in">
              <AfterHydration>
                <OrganizationSwitcher
                  hidePersonal
                  afterSelectOrganizationUrl="/orgs/:slug"
                  afterCreateOrganizationUrl="/orgs/:slug"
                  afterLeaveOrganizationUrl="/"
                />
                <UserButton />
              </AfterHydration>
            </Show>
            <Show when="signed-out">
              <AfterHydration>
                <SignInButton>
                  <button className="button" type="button">
                    Sign in
                  </button>
                </SignInButton>
              </AfterHydration>
            </Show>
          </header>
          <main>{children}</main>
        </ClerkProvider>
      </body>
    </html>
  )
}

/** Clerk's components take their colours from globals.css, so that they follow the page into the dark. */
const appearance = {
  variables: {
    colorPrimary: 'var(--accent)',
    colorPrimaryForeground: 'var(--on-accent)',
    colorBackground: 'var(--surface)',
    colorForeground: 'var(--ink)',
    colorMutedForeground: 'var(--quiet)',
    colorInput: 'var(--surface)',
    colorInputForeground: 'var(--ink)',
    colorNeutral: 'var(--ink)',
    colorDanger: 'var(--danger)',
    borderRadius: '10px',
    fontFamily: 'inherit',
  },
}
