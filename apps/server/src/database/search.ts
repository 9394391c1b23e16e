import { createHash } from 'node:crypto'
import type { SQL } from 'bun'

const ofThisInstance = `instance_id = (select current_setting('usher.instance_id', true))`

const organizationDocument = 'lower(name || chr(10) || slug)'

/**
 * What people and organizations are found by when somebody types a part of a name: `like '%part%'` on the column
 * `document` of the views `searchable_users` and `searchable_organizations`.
 *
 * Row-level security shows `like` only rows that have passed the policy, because an operator that is not leakproof
 * might tell what it saw. An index on names would never be used. So these two views do the policy's work themselves:
 * each holds the comparison with the instance of the transaction, and nobody can read them without it. Their owner,
 * `usher_search`, sees the rows of all instances, has no login, and is no role that the server works through.
 *
 * The comparison is written otherwise than in the policies: from two that are alike the planner makes one, of the
 * policy's rank, and the index is out of reach again. As a subquery it is also computed once and not for each row.
 */
const statements = [
  `grant usage, create on schema public to usher_search`,
  `grant select on user_search to usher_search`,
  `grant select (id, instance_id, name, slug) on organizations to usher_search`,
  `drop policy if exists search on user_search`,
  `create policy search on user_search for select to usher_search using (true)`,
  `drop policy if exists search on organizations`,
  `create policy search on organizations for select to usher_search using (true)`,
  `set role usher_search`,
  `create or replace view searchable_users as
    select user_id, name, username, email_addresses, phone_numbers, document from user_search where ${ofThisInstance}`,
  `create or replace view searchable_organizations as
    select id as organization_id, ${organizationDocument} as document from organizations where ${ofThisInstance}`,
  `grant select on searchable_users, searchable_organizations to usher_app`,
  `reset role`,
  `revoke create on schema public from usher_search`,

  // Statement by statement where many rows come at once. What they write is bound by row-level security as the
  // statement is that they follow.
  `create or replace function search_add_users() returns trigger language plpgsql as $$ begin
    insert into public.user_search (user_id, instance_id, name, username)
      select id, instance_id, lower(concat_ws(' ', first_name, last_name)), lower(coalesce(username, '')) from changed;
    return null;
  end $$`,
  `create or replace function search_rename_user() returns trigger language plpgsql as $$ begin
    update public.user_search set name = lower(concat_ws(' ', new.first_name, new.last_name)),
      username = lower(coalesce(new.username, '')) where user_id = new.id;
    return null;
  end $$`,
  `create or replace trigger search_add after insert on users
    referencing new table as changed for each statement execute function search_add_users()`,
  `create or replace trigger search_rename after update of first_name, last_name, username on users
    for each row execute function search_rename_user()`,
  ...identifierTriggers('email_addresses', 'email_address'),
  ...identifierTriggers('phone_numbers', 'phone_number'),
]

/** Keeps the list of a user's addresses or numbers as their rows are. */
function identifierTriggers(table: string, column: string): string[] {
  const list = (from: string, order = '') => `string_agg(lower(${from}.${column}), chr(10)${order})`
  // Added to what stands there, whoever else adds something at this moment.
  const add = `update public.user_search s set ${table} = concat_ws(chr(10), nullif(s.${table}, ''), added.list)
      from (select user_id, ${list('changed')} as list from changed group by user_id) added where s.user_id = added.user_id;`
  // Two statements: what somebody else has added before the row could be locked, only the second one sees.
  const recount = (users: string) => `
      perform from public.user_search where user_id in (${users}) order by user_id for update;
      update public.user_search s set ${table} = coalesce((select ${list('i', ' order by i.created_at, i.id')}
        from public.${table} i where i.user_id = s.user_id), '') where s.user_id in (${users});`
  const procedure = (name: string, statements: string) =>
    `create or replace function ${name}() returns trigger language plpgsql as $$ begin
      ${statements}
      return null;
    end $$`
  return [
    procedure(`search_add_${table}`, add),
    procedure(`search_remove_${table}`, recount('select user_id from changed')),
    procedure(`search_change_${table}`, recount('old.user_id, new.user_id')),
    `create or replace trigger search_add after insert on ${table}
      referencing new table as changed for each statement execute function search_add_${table}()`,
    `create or replace trigger search_remove after delete on ${table}
      referencing old table as changed for each statement execute function search_remove_${table}()`,
    `create or replace trigger search_change after update of ${column}, user_id on ${table}
      for each row execute function search_change_${table}()`,
  ]
}

/** Which statements a database has seen: stating them again at each start would lock tables that are in use. */
const edition = createHash('sha256').update(statements.join(';\n')).digest('hex').slice(0, 16)

/**
 * States views and triggers of the search, and its indexes where the server has `pg_trgm` (it is a part of PostgreSQL
 * that some distributions pack apart). Without it the same rows are found, by reading all of an instance. Runs as the
 * owner, under the migration lock.
 */
export async function prepareSearch(owner: SQL): Promise<void> {
  const [known] = await owner`
    select obj_description(to_regclass('public.searchable_organizations'), 'pg_class') as edition`
  if (known?.edition !== edition) {
    const note = `set role usher_search; comment on view searchable_organizations is '${edition}'; reset role`
    await owner.unsafe([...statements, note].join(';\n'))
  }
  const operators = await findTrigrams(owner)
  if (!operators) return
  for (const { name, table, document } of indexes) {
    const [there] = await owner`select to_regclass(${`public.${name}`}) is not null as exists`
    if (there?.exists) continue
    // What waits to be sorted into the index is read by every search, so it must stay short (kB); but sorting in each row
    // at once, or often, would cost more than all the rest of writing somebody.
    const method = `using gin ((${document}) ${operators}) with (gin_pending_list_limit = 1024)`
    await owner.unsafe(`create index ${name} on ${table} ${method}`)
  }
}

const indexes = [
  { name: 'user_search_document', table: 'user_search', document: 'document' },
  { name: 'organizations_document', table: 'organizations', document: organizationDocument },
]

/** The operator class of trigrams with its schema; creates the extension where that is possible. */
async function findTrigrams(owner: SQL): Promise<string | undefined> {
  const find = async (): Promise<string | undefined> => {
    const [found] = await owner`
      select format('%I.%I', n.nspname, c.opcname) as name from pg_opclass c join pg_namespace n on n.oid = c.opcnamespace
      where c.opcname = 'gin_trgm_ops'`
    return found?.name
  }
  const known = await find()
  if (known) return known
  const [may] = await owner`
    select exists (select from pg_available_extensions where name = 'pg_trgm')
      and has_database_privilege(current_database(), 'create') as create`
  if (!may?.create) return undefined
  await owner`create extension if not exists pg_trgm`
  return find()
}
