import type { WaitlistRecord } from '../../domains/signup/index.ts'
import { presentApplicationInvitation } from './application-invitation.ts'

/** @param url the invitation's link, which only the answer that made it can show */
export function presentWaitlistEntry(entry: WaitlistRecord, url: string | null = null) {
  return {
    object: 'waitlist_entry' as const,
    id: entry.id,
    email_address: entry.emailAddress,
    status: entry.status,
    is_locked: false,
    invitation: entry.invitation && presentApplicationInvitation(entry.invitation, url),
    created_at: entry.createdAt.getTime(),
    updated_at: entry.updatedAt.getTime(),
  }
}
