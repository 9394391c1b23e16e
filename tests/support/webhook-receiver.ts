/**
 * A receiver of webhooks as an application has one: it verifies each delivery with `@clerk/backend` and keeps users,
 * organizations and memberships in tables of its own. Deliveries may come twice, late and in any order.
 *
 * `DATABASE_URL` (or `DATABASE_SOCKET`) leads to its database, `CLERK_WEBHOOK_SIGNING_SECRET` is the endpoint's secret.
 */
import { verifyWebhook, type WebhookEvent } from '@clerk/backend/webhooks'
import { SQL } from 'bun'

const { DATABASE_URL, DATABASE_SOCKET } = process.env
const sql = DATABASE_SOCKET
  ? new SQL({ adapter: 'postgres', path: DATABASE_SOCKET, username: 'usher', database: 'receiver', max: 4 })
  : new SQL({ url: DATABASE_URL ?? '', max: 4 })

// A row that was deleted stays as a tombstone: what was said before the deletion and comes after it changes nothing.
await sql.unsafe(`
  create table if not exists users (
    id text primary key, sequence bigint not null, deleted boolean not null default false,
    email text, first_name text, last_name text
  );
  create table if not exists organizations (
    id text primary key, sequence bigint not null, deleted boolean not null default false, name text, slug text
  );
  create table if not exists memberships (
    id text primary key, sequence bigint not null, deleted boolean not null default false,
    organization_id text, user_id text, role text
  )`)

/** Only what is later than the row counts. The comparison is made by the database, so two deliveries at once are safe. */
async function keep(table: string, id: string, sequence: number, columns: Record<string, string | boolean | null>) {
  const row = { id, sequence, deleted: false, ...columns }
  const changed = [...Object.keys(row)].filter((name) => name !== 'id').map((name) => `${name} = excluded.${name}`)
  await sql`insert into ${sql(table)} ${sql(row)} on conflict (id) do update set ${sql.unsafe(changed.join(', '))}
    where excluded.sequence > ${sql(table)}.sequence`
}

async function receive(event: WebhookEvent): Promise<void> {
  // Rises from event to event; `verifyWebhook` has checked the signature over it.
  const { sequence } = event.event_attributes as unknown as { sequence: number }
  switch (event.type) {
    case 'user.created':
    case 'user.updated': {
      const { id, first_name, last_name, email_addresses, primary_email_address_id } = event.data
      const email = email_addresses.find((e) => e.id === primary_email_address_id)?.email_address ?? null
      return keep('users', id, sequence, { email, first_name, last_name })
    }
    case 'organization.created':
    case 'organization.updated': {
      const { id, name, slug } = event.data
      return keep('organizations', id, sequence, { name, slug })
    }
    case 'organizationMembership.created':
    case 'organizationMembership.updated': {
      const { id, organization, public_user_data, role } = event.data
      const user_id = public_user_data?.user_id ?? null
      return keep('memberships', id, sequence, { organization_id: organization.id, user_id, role })
    }
    case 'user.deleted':
      return keep('users', event.data.id ?? '', sequence, { deleted: true })
    case 'organization.deleted':
      return keep('organizations', event.data.id ?? '', sequence, { deleted: true })
    case 'organizationMembership.deleted':
      return keep('memberships', event.data.id, sequence, { deleted: true })
  }
}

const server = Bun.serve({
  port: Number(process.env.PORT ?? 0),
  hostname: '127.0.0.1',
  async fetch(request) {
    let event: WebhookEvent
    try {
      event = await verifyWebhook(request)
    } catch {
      return new Response('This is not from whom it says.', { status: 400 })
    }
    // Answered when it is stored: an error here makes it come again.
    await receive(event)
    return new Response(null, { status: 204 })
  },
})
console.log(JSON.stringify({ url: `http://127.0.0.1:${server.port}/` }))
