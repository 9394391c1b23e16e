'use client'

import { useClerk } from '@clerk/nextjs'
import Link from 'next/link'
import { useRouter } from 'next/navigation'
import { useEffect, useEffectEvent } from 'react'

/** What stands in the place of the page once the server has said: no more. */
export function Ended({ why }: { why: 'signed_out' | 'no_access' | 'refused' }) {
  const { session, setActive } = useClerk()
  const router = useRouter()

  // The SDK does not know yet, and would go on asking for tokens of this session and organization in vain.
  const tellSdk = useEffectEvent(() => {
    session?.reload().catch(() => {})
  })
  useEffect(() => tellSdk(), [])

  if (why === 'signed_out') {
    return (
      <section className="card notice" role="alert" data-testid="access-ended" data-why={why}>
        <h1>You are signed out</h1>
        <p>Your session has ended, here or on another device. Sign in again to go on.</p>
        <Link className="button" href="/sign-in">
          Sign in
        </Link>
      </section>
    )
  }

  const goPersonal = async () => {
    await setActive({ organization: null })
    router.push('/tasks')
    router.refresh()
  }
  return (
    <section className="card notice" role="alert" data-testid="access-ended" data-why={why}>
      <h1>Your access has ended</h1>
      <p>You are no longer a member here, or your role no longer allows you to read these tasks.</p>
      <button className="button" type="button" data-testid="go-personal" onClick={goPersonal}>
        Go to my personal tasks
      </button>
    </section>
  )
}
