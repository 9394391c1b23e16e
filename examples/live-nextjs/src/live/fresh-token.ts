import { isClerkAPIResponseError } from '@clerk/nextjs/errors'
import type { Why } from './ended'

type GetToken = (options: { skipCache: boolean; organizationId?: string }) => Promise<string | null>

/**
 * A session token of this moment that names the organization of this page: a cached one may carry a role of a minute ago,
 * and another tab may have switched to another organization.
 *
 * @returns `refused` when there will be none; neither when it is worth another try
 */
export async function freshToken(
  getToken: GetToken,
  organizationId: string,
): Promise<{ value?: string; refused?: Why }> {
  try {
    const value = await getToken({ skipCache: true, organizationId })
    return value ? { value } : { refused: 'signed_out' }
  } catch (error) {
    if (!isClerkAPIResponseError(error)) return {}
    if (error.status === 401) return { refused: 'signed_out' }
    return error.status === 403 || error.status === 404 ? { refused: 'no_access' } : {}
  }
}
