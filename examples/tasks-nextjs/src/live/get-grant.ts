import { isClerkAPIResponseError } from '@clerk/nextjs/errors'
import { type Grant, Refused } from './token-web-socket'

type GetToken = (options: { skipCache: boolean; organizationId?: string }) => Promise<string | null>

/**
 * Asks this app's server for one connection's address and token, as the user is now: the session token is minted anew,
 * because a cached one may carry a role of a minute ago.
 *
 * @throws {Refused} signed out (4401), or no right to the document (4403)
 */
export async function getGrant(
  getToken: GetToken,
  input: { documentId: string; organizationId: string | null },
): Promise<Grant> {
  const sessionToken = await getToken({
    skipCache: true,
    // Names the organization of this page: another tab may have switched to another one meanwhile.
    ...(input.organizationId && { organizationId: input.organizationId }),
  }).catch((error: unknown) => {
    if (isClerkAPIResponseError(error) && error.status === 401) throw new Refused(4401, 'Your session has ended.')
    if (isClerkAPIResponseError(error) && (error.status === 403 || error.status === 404)) {
      throw new Refused(4403, 'You are no longer a member.')
    }
    throw error
  })
  if (!sessionToken) throw new Refused(4401, 'Your session has ended.')

  const response = await fetch('/api/sync-token', {
    method: 'POST',
    headers: { authorization: `Bearer ${sessionToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ documentId: input.documentId }),
  })
  if (response.status === 401) throw new Refused(4401, 'Your session has ended.')
  if (response.status === 403) throw new Refused(4403, 'You may not open this document.')
  if (!response.ok) throw new Error(`The token route answered ${response.status}.`)
  return response.json()
}
