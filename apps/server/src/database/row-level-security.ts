import type { SQL } from 'bun'

/**
 * The tables that the server itself reads or writes across instances, with `usher_system`. Everything else is out of
 * that role's reach.
 */
const systemTables = [
  'applications',
  'instances',
  'instance_secret_keys',
  'instance_signing_keys',
  'machine_secret_keys',
  'roles',
  'permissions',
  'role_permissions',
  'role_sets',
  'role_set_roles',
  'events',
  'event_streams',
  'audit_cursors',
  'webhook_endpoints',
  'webhook_lanes',
  'webhook_deliveries',
  'messages',
  'social_connections',
  'nodes',
  'sync_rooms',
  'sync_room_segments',
  'sync_room_snapshots',
  'sync_room_snapshot_chunks',
  'channels',
  'channel_messages',
  'channel_histories',
]

/** How a row names its instance, where it is not by a column `instance_id`. */
const ownershipRules: Record<string, string> = {
  instances: `id = current_setting('usher.instance_id', true)`,
  applications: `id = (select application_id from instances where id = current_setting('usher.instance_id', true))`,
  // Of the installation and of no instance.
  nodes: 'false',
  channel_histories: 'false',
}
const byInstanceColumn = `instance_id = current_setting('usher.instance_id', true)`

/**
 * Creates the roles that serve, and `usher_search` for `search.ts`, and puts every table under row-level security.
 * Stated anew at each start and derived from the catalog, so that a table added by a migration cannot be forgotten.
 * Runs as the owner, under the migration lock.
 */
export async function isolateTenants(owner: SQL): Promise<void> {
  for (const role of ['usher_app', 'usher_system', 'usher_search']) await ensureRole(owner, role)
  const tables: { name: string; has_instance: boolean; isolated: boolean }[] = await owner`
    select c.relname as name,
      exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'instance_id') as has_instance,
      c.relforcerowsecurity and exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polname = 'tenant') as isolated
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')`
  const statements = [
    'revoke all on schema public from public',
    'grant usage on schema public to usher_app, usher_system',
    'grant usage on all sequences in schema public to usher_app, usher_system',
  ]
  for (const { name, has_instance, isolated } of tables) {
    const rule = ownershipRules[name] ?? (has_instance ? byInstanceColumn : undefined)
    if (!rule)
      throw new Error(`table ${name} has no instance_id and no rule of its own: nobody could be kept out of it`)
    statements.push(`grant select, insert, update, delete on ${name} to usher_app`)
    if (systemTables.includes(name)) statements.push(`grant select, insert, update, delete on ${name} to usher_system`)
    if (isolated) continue
    statements.push(
      `alter table ${name} enable row level security`,
      `alter table ${name} force row level security`,
      `create policy tenant on ${name} to usher_app using (${rule}) with check (${rule})`,
    )
    if (systemTables.includes(name))
      statements.push(`create policy system on ${name} to usher_system using (true) with check (true)`)
  }
  await owner.unsafe(statements.join(';\n'))
}

async function ensureRole(owner: SQL, role: string) {
  // Roles belong to the whole cluster: another database's Usher may be making the same one at this moment.
  await owner.unsafe(`do $$ begin
    if not exists (select from pg_roles where rolname = '${role}') then
      create role ${role} nologin nosuperuser nobypassrls nocreatedb nocreaterole;
    end if;
    exception when duplicate_object or unique_violation then null;
    end $$;
    grant ${role} to current_user;`)
}
