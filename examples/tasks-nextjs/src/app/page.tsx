import { auth } from '@clerk/nextjs/server'
import Link from 'next/link'
import { redirect } from 'next/navigation'

export default async function Home() {
  const { userId } = await auth()
  if (userId) redirect('/tasks')
  return (
    <section className="hero">
      <h1>What is to be done, together.</h1>
      <p>
        Tasks for yourself and for your organizations, with roles that mean something, and a note that everybody writes
        at the same time.
      </p>
      <p className="actions">
        <Link className="button" href="/sign-up">
          Create an account
        </Link>
        <Link className="button plain" href="/sign-in">
          Sign in
        </Link>
      </p>
    </section>
  )
}
