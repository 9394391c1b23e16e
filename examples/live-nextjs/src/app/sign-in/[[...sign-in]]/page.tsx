import { SignIn } from '@clerk/nextjs'
import { AfterHydration } from '@/live/after-hydration'

export default function SignInPage() {
  return (
    <div className="centered">
      <AfterHydration>
        <SignIn />
      </AfterHydration>
    </div>
  )
}
