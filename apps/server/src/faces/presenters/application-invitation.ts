import type { Invitation } from '../../domains/signup/index.ts'

/** An invitation to the application. @param url its link, which only the answer that made it can show */
export function presentApplicationInvitation(invitation: Invitation, url: string | null = null) {
  return {
    object: 'invitation' as const,
    id: invitation.id,
    email_address: invitation.emailAddress,
    status: invitation.status,
    revoked: invitation.status === 'revoked',
    url,
    public_metadata: invitation.publicMetadata,
    expires_at: invitation.expiresAt.getTime(),
    created_at: invitation.createdAt.getTime(),
    updated_at: invitation.updatedAt.getTime(),
  }
}
