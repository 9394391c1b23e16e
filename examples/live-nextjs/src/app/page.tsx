import { OrganizationList } from '@clerk/nextjs'
import { auth } from '@clerk/nextjs/server'
import Link from 'next/link'
import { AfterHydration } from '@/live/after-hydration'

export default async function Home() {
  const { userId } = await auth()
  if (userId)
    return (
      <div className="centered">
        <AfterHydration>
          <OrganizationList
            hidePersonal
            afterSelectOrganizationUrl="/orgs/:slug"
            afterCreateOrganizationUrl="/orgs/:slug"
          />
        </AfterHydration>
      </div>
    )
  return (
    <section className="hero">
      <h1>Say it, see who hears it.</h1>
      <p>
        A chat for each of your organizations, a wave that reaches people on all their devices, and a document that not
        even the server can read.
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
