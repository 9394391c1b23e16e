import { type Operation, parseOperations } from './operations.ts'

/** What no vendor's SDK calls: in the reference, and not in the list of what is compatible. Lines as in operations.ts. */
const frontend = `
# Audit log
1 GET /v1/organizations/{id}/audit_logs | The log of an organization
1 GET /v1/organizations/{id}/audit_logs/export | The log of an organization, as a file
# Realtime
1 POST /v1/sync/token | A token for a document
1 GET /v1/me/notifications | What the application told the person
1 POST /v1/me/notifications/read | How far the person has read
# Keys of encrypted documents
1 GET,POST,DELETE /v1/vault | The person’s own vault
1 POST /v1/vault/unlock | A wrapped user key
1 POST /v1/vault/unlocked | Show that it was opened
1 PUT /v1/vault/wraps | A way into the vault
1 POST /v1/vault/wraps/delete | Take a way into the vault away
1 GET,POST /v1/vault/document_keys | Keys of a document
1 POST /v1/vault/document_keys/rotate | The next key of a document
1 POST /v1/vault/document_keys/refuse | Refuse a key that is not the document’s
1 POST /v1/vault/pairings | A new device waits for approval
1 GET /v1/vault/pairings/{id} | A pairing of devices
1 PUT /v1/vault/pairings/{id}/{step} | The next step of a pairing
1 POST /v1/vault/pairings/{id}/take | What was sealed for the new device
# This server
1 GET /v1/images/{id} | A profile image or logo
1 POST /v1/environment | Settings of the instance, asked for by a form
1 POST /v1/verify | Follow the link of an email, once a person has agreed
1 GET /static/{file} | A picture of the components
1 GET /.well-known/webauthn | Origins that may use a passkey
1 GET /healthz | Whether the server runs
1 GET /readyz | Whether the server can answer
1 GET /metrics | Metrics
`

const backend = `
# Groups, grants and own roles of organizations
1 GET,POST /v1/organizations/{id}/groups | Groups
1 GET,PATCH,DELETE /v1/organizations/{id}/groups/{group} | One group
1 PUT,DELETE /v1/organizations/{id}/groups/{group}/roles/{role} | Roles of a group
1 GET /v1/organizations/{id}/groups/{group}/members | Members of a group
1 PUT,DELETE /v1/organizations/{id}/groups/{group}/members/{user} | Membership in a group
1 GET /v1/organizations/{id}/memberships/{user}/access | What a member may do, and where it comes from
1 PUT,DELETE /v1/organizations/{id}/memberships/{user}/roles/{role} | Further and primary roles of a member
1 PUT,DELETE /v1/organizations/{id}/memberships/{user}/permissions/{permission} | Permissions without a role
1 GET,POST /v1/organizations/{id}/roles | Roles that an organization gives
1 PATCH,DELETE /v1/organizations/{id}/roles/{role} | A role of one organization
1 POST /v1/access/check | Whether somebody has a role, permission or feature
# Features
1 GET,POST /v1/features | Features
1 GET,PATCH,DELETE /v1/features/{feature} | One feature
1 GET /v1/organizations/{id}/features | Features of an organization
1 PUT,DELETE /v1/organizations/{id}/features/{feature} | A feature of an organization
1 GET /v1/users/{id}/features | Features of a person
1 PUT,DELETE /v1/users/{id}/features/{feature} | A feature of a person
# Events and webhooks
1 GET /v1/events | What happened, by a cursor
1 GET /v1/webhooks/event_types | Types of events
1 GET,POST /v1/webhooks/endpoints | Endpoints
1 GET,PATCH,DELETE /v1/webhooks/endpoints/{id} | One endpoint
1 GET /v1/webhooks/endpoints/{id}/secret | The secret of an endpoint
1 POST /v1/webhooks/endpoints/{id}/secret/rotate | A new secret for an endpoint
1 POST /v1/webhooks/endpoints/{id}/test | Deliver one event to try an endpoint
1 GET /v1/webhooks/endpoints/{id}/deliveries | What was delivered and what was not
1 POST /v1/webhooks/endpoints/{id}/replay | Deliver a range once more
# Audit log
1 GET /v1/audit_logs | The log of the instance
1 GET /v1/audit_logs/export | The log of the instance, as a file
1 GET /v1/organizations/{id}/audit_logs | The log of an organization
1 GET /v1/organizations/{id}/audit_logs/export | The log of an organization, as a file
# Realtime
1 POST /v1/sync_tokens | A token for any document and person
1 DELETE /v1/documents/{id} | Delete a document
1 GET,POST /v1/channels/{channel}/messages | Messages of a channel
1 GET /v1/vault/documents | Who holds keys of an encrypted document
# The instance
1 GET /v1/instance/organization_settings | Settings of organizations: read
# Webhooks and messages
1 POST /v1/templates/{type}/{slug}/preview | A message template with made-up data
1 POST /v1/templates/{type}/{slug}/revert | Back to the text that ships
`

/** Every operation of this server's own, in the order of the reference. */
export const ownOperations: readonly Operation[] = [
  ...parseOperations('frontend', frontend),
  ...parseOperations('backend', backend),
]
