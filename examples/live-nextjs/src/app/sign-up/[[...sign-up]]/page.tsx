import { SignUp } from '@clerk/nextjs'
import { AfterHydration } from '@/live/after-hydration'

export default function SignUpPage() {
  return (
    <div className="centered">
      <AfterHydration>
        <SignUp />
      </AfterHydration>
    </div>
  )
}
