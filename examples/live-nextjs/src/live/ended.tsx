'use client'

import { useClerk } from '@clerk/nextjs'
import Link from 'next/link'
import { useEffect, useEffectEvent } from 'react'

export type Why = 'signed_out' | 'no_access'

/** What stands in the place of the page once the server has said: no more. */
export function Ended({ why }: { why: Why }) {
  const { session } = useClerk()
  // The SDK does not know yet, and would go on asking for tokens of this session and organization in vain.
  const tellSdk = useEffectEvent(() => {
    session?.reload().catch(() => {})
  })
  useEffect(() => tellSdk(), [])

  return (
    <section className="card notice" role="alert" data-testid="access-ended" data-why={why}>
      <h1>{why === 'signed_out' ? 'You are signed out' : 'Your access has ended'}</h1>
      <p>
        {why === 'signed_out'
          ? 'Your session has ended, here or on another device.'
          : 'You are no longer a member here, or your role no longer allows you to read.'}
      </p>
      <Link className="button" href={why === 'signed_out' ? '/sign-in' : '/'}>
        {why === 'signed_out' ? 'Sign in' : 'My organizations'}
      </Link>
    </section>
  )
}
