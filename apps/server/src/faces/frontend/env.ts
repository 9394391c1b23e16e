import type { IdentifiedClient, NewClientToken, SessionState } from '../../domains/sessions/index.ts'
import type { Env } from '../http.ts'

/** What the browser face knows about its caller beyond the Ctx. */
export type FrontendState = {
  /** How this browser shows which client it is. */
  carrier: 'cookie' | 'dev_browser' | 'native'
  identified: IdentifiedClient | undefined
  /** The client, known from the request or made during it. */
  clientId: string | undefined
  /** The session that acts: the one named by the request, else the client's last active one. */
  session: SessionState | undefined
  issued: NewClientToken | undefined
  /** Set when the client was destroyed: its cookie goes too. */
  forgotten: boolean
}

export type FrontendEnv = Env & { Variables: Env['Variables'] & { frontend: FrontendState } }
