import { UserProfile } from '@clerk/nextjs'
import { auth } from '@clerk/nextjs/server'

export default async function UserProfilePage() {
  await auth.protect()
  return (
    <div className="centered">
      <UserProfile path="/user-profile" />
    </div>
  )
}
