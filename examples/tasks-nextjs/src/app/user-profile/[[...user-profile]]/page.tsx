import { UserProfile } from '@clerk/nextjs'

export default function UserProfilePage() {
  return (
    <div className="centered">
      <UserProfile path="/user-profile" />
    </div>
  )
}
