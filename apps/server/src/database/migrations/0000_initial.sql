CREATE TABLE "permissions" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"key" text NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"type" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "permissions_key" UNIQUE("instance_id","key")
);
--> statement-breakpoint
CREATE TABLE "role_permissions" (
	"instance_id" text NOT NULL,
	"role_id" text NOT NULL,
	"permission_id" text NOT NULL,
	CONSTRAINT "role_permissions_role_id_permission_id_pk" PRIMARY KEY("role_id","permission_id")
);
--> statement-breakpoint
CREATE TABLE "role_set_roles" (
	"instance_id" text NOT NULL,
	"role_set_id" text NOT NULL,
	"role_id" text NOT NULL,
	CONSTRAINT "role_set_roles_role_set_id_role_id_pk" PRIMARY KEY("role_set_id","role_id")
);
--> statement-breakpoint
CREATE TABLE "role_sets" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"key" text NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"type" text NOT NULL,
	"default_role_id" text,
	"creator_role_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "role_sets_key" UNIQUE("instance_id","key")
);
--> statement-breakpoint
CREATE TABLE "roles" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text,
	"key" text NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"is_creator_eligible" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "roles_namespace" CHECK ((organization_id is not null) = starts_with(key, 'org:org_'))
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text,
	"organization_id" text,
	"subject" text GENERATED ALWAYS AS (coalesce(user_id, organization_id)) STORED NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"secret_hash" text NOT NULL,
	"sealed_secret" text,
	"scopes" jsonb NOT NULL,
	"claims" jsonb,
	"created_by" text,
	"creator_membership_id" text,
	"made_by_member" boolean DEFAULT false NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	"revocation_reason" text,
	"last_used_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "api_keys_secret_hash_unique" UNIQUE("secret_hash"),
	CONSTRAINT "api_keys_subject" CHECK (num_nonnulls(user_id, organization_id) = 1)
);
--> statement-breakpoint
CREATE TABLE "audit_chains" (
	"instance_id" text NOT NULL,
	"chain" text NOT NULL,
	"first_place" bigint NOT NULL,
	"first_previous_hash" text NOT NULL,
	"last_place" bigint NOT NULL,
	"last_hash" text NOT NULL,
	"sealed" text NOT NULL,
	CONSTRAINT "audit_chains_instance_id_chain_pk" PRIMARY KEY("instance_id","chain")
);
--> statement-breakpoint
CREATE TABLE "audit_cursors" (
	"instance_id" text PRIMARY KEY NOT NULL,
	"position" bigint NOT NULL,
	"entries" bigint DEFAULT 0 NOT NULL,
	"sealed" text DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_entries" (
	"id" text NOT NULL,
	"instance_id" text NOT NULL,
	"chain" text NOT NULL,
	"place" bigint NOT NULL,
	"position" bigint NOT NULL,
	"action" text NOT NULL,
	"actor" jsonb NOT NULL,
	"targets" jsonb NOT NULL,
	"context" jsonb NOT NULL,
	"data" jsonb NOT NULL,
	"occurred_at" timestamp (3) with time zone NOT NULL,
	"hash" text NOT NULL,
	"previous_hash" text NOT NULL,
	CONSTRAINT "audit_entries_instance_id_chain_place_pk" PRIMARY KEY("instance_id","chain","place")
);
--> statement-breakpoint
CREATE TABLE "channel_histories" (
	"n" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "channel_histories_n_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"line" text NOT NULL,
	"token" uuid DEFAULT gen_random_uuid() NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "channel_histories_line_unique" UNIQUE("line")
);
--> statement-breakpoint
CREATE TABLE "channel_messages" (
	"channel_id" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"payload" text NOT NULL,
	"user_id" text,
	"connection" text,
	"key" text NOT NULL,
	"digest" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	CONSTRAINT "channel_messages_channel_id_seq_pk" PRIMARY KEY("channel_id","seq"),
	CONSTRAINT "channel_messages_key" UNIQUE("channel_id","key")
);
--> statement-breakpoint
CREATE TABLE "channel_read_markers" (
	"channel_id" bigint NOT NULL,
	"user_id" text NOT NULL,
	"instance_id" text NOT NULL,
	"seq" bigint NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "channel_read_markers_channel_id_user_id_pk" PRIMARY KEY("channel_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "channels" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "channels_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"head" bigint DEFAULT 0 NOT NULL,
	"epoch" uuid DEFAULT gen_random_uuid() NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"written_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "channels_name" UNIQUE("instance_id","name")
);
--> statement-breakpoint
CREATE TABLE "social_connections" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"provider" text NOT NULL,
	"name" text NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"authenticatable" boolean DEFAULT true NOT NULL,
	"block_email_subaddresses" boolean DEFAULT false NOT NULL,
	"client_id" text,
	"sealed_client_secret" text,
	"scopes" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"logo_url" text,
	"custom" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "backup_codes" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text NOT NULL,
	"code_hash" text NOT NULL,
	"used_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "passkeys" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text NOT NULL,
	"name" text NOT NULL,
	"credential_id" text,
	"public_key" text,
	"sign_count" bigint DEFAULT 0 NOT NULL,
	"transports" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"backed_up" boolean DEFAULT false NOT NULL,
	"challenge" text,
	"challenge_expires_at" timestamp (3) with time zone,
	"verified_at" timestamp (3) with time zone,
	"last_used_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "passwords" (
	"user_id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"hasher" text DEFAULT 'argon2id' NOT NULL,
	"hash" text NOT NULL,
	"compromised_at" timestamp (3) with time zone,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "totps" (
	"user_id" text PRIMARY KEY NOT NULL,
	"id" text NOT NULL,
	"instance_id" text NOT NULL,
	"sealed_secret" text NOT NULL,
	"verified_at" timestamp (3) with time zone,
	"last_step" bigint DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "event_streams" (
	"instance_id" text PRIMARY KEY NOT NULL,
	"head" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"instance_id" text NOT NULL,
	"type" text NOT NULL,
	"subject" text NOT NULL,
	"actor" jsonb NOT NULL,
	"data" jsonb NOT NULL,
	"context" jsonb,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"position" bigint,
	"pending" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "feature_grants" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"feature_id" text NOT NULL,
	"organization_id" text,
	"user_id" text,
	"enabled" boolean NOT NULL,
	"source" text DEFAULT 'direct' NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "feature_grants_holder" CHECK ((organization_id is null) <> (user_id is null))
);
--> statement-breakpoint
CREATE TABLE "features" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"slug" text NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"avatar_url" text,
	"enabled" boolean DEFAULT true NOT NULL,
	"default_for" text DEFAULT 'nobody' NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "features_slug" UNIQUE("instance_id","slug")
);
--> statement-breakpoint
CREATE TABLE "images" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text,
	"organization_id" text,
	"content_type" text NOT NULL,
	"digest" text NOT NULL,
	"size" integer NOT NULL,
	"bytes" "bytea",
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "applications" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "domains" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"proxy_url" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "instances" (
	"id" text PRIMARY KEY NOT NULL,
	"application_id" text NOT NULL,
	"environment" text NOT NULL,
	"name" text NOT NULL,
	"host" text,
	"settings" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "instances_name_unique" UNIQUE("name"),
	CONSTRAINT "instances_host_unique" UNIQUE("host")
);
--> statement-breakpoint
CREATE TABLE "redirect_urls" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"url" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "instance_secret_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"key_hash" text NOT NULL,
	"sealed_key" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "instance_secret_keys_key_hash_unique" UNIQUE("key_hash")
);
--> statement-breakpoint
CREATE TABLE "instance_signing_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"algorithm" text NOT NULL,
	"state" text NOT NULL,
	"public_jwk" jsonb NOT NULL,
	"sealed_private_key" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"retired_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "m2m_tokens" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"machine_id" text NOT NULL,
	"format" text NOT NULL,
	"token_hash" text,
	"sealed_token" text,
	"claims" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"revocation_reason" text,
	CONSTRAINT "m2m_tokens_token_hash_unique" UNIQUE("token_hash"),
	CONSTRAINT "m2m_tokens_hash" CHECK ((token_hash is not null) = (format = 'opaque'))
);
--> statement-breakpoint
CREATE TABLE "machine_scopes" (
	"instance_id" text NOT NULL,
	"from_machine_id" text NOT NULL,
	"to_machine_id" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "machine_scopes_from_machine_id_to_machine_id_pk" PRIMARY KEY("from_machine_id","to_machine_id"),
	CONSTRAINT "machine_scopes_other" CHECK (from_machine_id <> to_machine_id)
);
--> statement-breakpoint
CREATE TABLE "machine_secret_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"machine_id" text NOT NULL,
	"key_hash" text NOT NULL,
	"sealed_key" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	CONSTRAINT "machine_secret_keys_key_hash_unique" UNIQUE("key_hash")
);
--> statement-breakpoint
CREATE TABLE "machines" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"default_token_ttl" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "machines_instance" UNIQUE("id","instance_id")
);
--> statement-breakpoint
CREATE TABLE "message_templates" (
	"instance_id" text NOT NULL,
	"channel" text NOT NULL,
	"name" text NOT NULL,
	"locale" text NOT NULL,
	"subject" text NOT NULL,
	"body" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "message_templates_instance_id_channel_name_locale_pk" PRIMARY KEY("instance_id","channel","name","locale")
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"channel" text DEFAULT 'email' NOT NULL,
	"template" text NOT NULL,
	"to_address" text NOT NULL,
	"subject" text NOT NULL,
	"html" text NOT NULL,
	"text" text NOT NULL,
	"state" text NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp (3) with time zone NOT NULL,
	"last_error" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"sent_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "nodes" (
	"id" text PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"host" text NOT NULL,
	"pid" integer NOT NULL,
	"version" text NOT NULL,
	"redis" boolean NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "group_members" (
	"instance_id" text NOT NULL,
	"group_id" text NOT NULL,
	"membership_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"source" text DEFAULT 'direct' NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "group_members_membership_id_group_id_pk" PRIMARY KEY("membership_id","group_id")
);
--> statement-breakpoint
CREATE TABLE "group_roles" (
	"instance_id" text NOT NULL,
	"group_id" text NOT NULL,
	"role_id" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "group_roles_group_id_role_id_pk" PRIMARY KEY("group_id","role_id")
);
--> statement-breakpoint
CREATE TABLE "groups" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"source" text DEFAULT 'direct' NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "groups_organization" UNIQUE("id","organization_id")
);
--> statement-breakpoint
CREATE TABLE "membership_permissions" (
	"instance_id" text NOT NULL,
	"membership_id" text NOT NULL,
	"permission_id" text NOT NULL,
	"source" text DEFAULT 'direct' NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "membership_permissions_membership_id_permission_id_pk" PRIMARY KEY("membership_id","permission_id")
);
--> statement-breakpoint
CREATE TABLE "membership_requests" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"user_id" text NOT NULL,
	"status" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "membership_roles" (
	"instance_id" text NOT NULL,
	"membership_id" text NOT NULL,
	"role_id" text NOT NULL,
	"source" text DEFAULT 'direct' NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "membership_roles_membership_id_role_id_pk" PRIMARY KEY("membership_id","role_id")
);
--> statement-breakpoint
CREATE TABLE "memberships" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"user_id" text NOT NULL,
	"role_id" text NOT NULL,
	"role_source" text DEFAULT 'direct' NOT NULL,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"private_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "memberships_once" UNIQUE("organization_id","user_id"),
	CONSTRAINT "memberships_organization" UNIQUE("id","organization_id")
);
--> statement-breakpoint
CREATE TABLE "organization_domains" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"name" text NOT NULL,
	"enrollment_mode" text NOT NULL,
	"affiliation_email_address" text,
	"affiliation_expires_at" timestamp (3) with time zone,
	"affiliation_verified_at" timestamp (3) with time zone,
	"affiliation_strategy" text,
	"ownership_record_value" text,
	"ownership_attempts" integer DEFAULT 0 NOT NULL,
	"ownership_expires_at" timestamp (3) with time zone,
	"ownership_verified_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "organization_domains_name" UNIQUE("organization_id","name")
);
--> statement-breakpoint
CREATE TABLE "organization_invitations" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"email_address" text NOT NULL,
	"role_id" text NOT NULL,
	"status" text NOT NULL,
	"inviter_user_id" text,
	"domain_id" text,
	"redirect_url" text,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"private_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "organization_suggestions" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"organization_id" text NOT NULL,
	"user_id" text NOT NULL,
	"domain_id" text,
	"status" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "organization_suggestions_once" UNIQUE("organization_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "organizations" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"name_skeleton" text DEFAULT '' NOT NULL,
	"slug" text NOT NULL,
	"external_id" text,
	"image_id" text,
	"created_by" text,
	"role_set_id" text,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"private_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"max_allowed_memberships" integer NOT NULL,
	"admin_delete_enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "organizations_slug" UNIQUE("instance_id","slug")
);
--> statement-breakpoint
CREATE TABLE "allowlist_identifiers" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"identifier" text NOT NULL,
	"identifier_type" text NOT NULL,
	"invitation_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "blocklist_identifiers" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"identifier" text NOT NULL,
	"identifier_type" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "client_tokens" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"client_id" text,
	"carrier" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "clients" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"last_active_session_id" text,
	"last_authentication_strategy" text,
	"sign_in_id" text,
	"sign_up_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "jwt_templates" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"claims" jsonb NOT NULL,
	"lifetime" integer NOT NULL,
	"allowed_clock_skew" integer NOT NULL,
	"signing_algorithm" text NOT NULL,
	"sealed_signing_key" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "known_devices" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text NOT NULL,
	"client_id" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"last_seen_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"client_id" text NOT NULL,
	"user_id" text NOT NULL,
	"status" text NOT NULL,
	"last_active_organization_id" text,
	"first_factor_at" timestamp (3) with time zone NOT NULL,
	"second_factor_at" timestamp (3) with time zone,
	"actor" jsonb,
	"reset_password_required" boolean DEFAULT false NOT NULL,
	"user_agent" text,
	"ip_address" text,
	"last_active_at" timestamp (3) with time zone NOT NULL,
	"expire_at" timestamp (3) with time zone NOT NULL,
	"abandon_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "session_verifications" (
	"session_id" text PRIMARY KEY NOT NULL,
	"id" text NOT NULL,
	"instance_id" text NOT NULL,
	"level" text NOT NULL,
	"status" text NOT NULL,
	"strategy" text,
	"identification_id" text,
	"challenge" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"first_factor_verified_at" timestamp (3) with time zone,
	"second_factor_verified_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sign_ins" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"client_id" text NOT NULL,
	"status" text NOT NULL,
	"identifier" text,
	"user_id" text,
	"first_factor_strategy" text,
	"first_factor_verified_at" timestamp (3) with time zone,
	"first_factor_error" jsonb,
	"transferable" boolean DEFAULT false NOT NULL,
	"identification_id" text,
	"challenge" text,
	"external_redirect_url" text,
	"external_profile" jsonb,
	"redirect_url" text,
	"action_complete_redirect_url" text,
	"sign_up_if_missing" boolean DEFAULT false NOT NULL,
	"second_factor_strategy" text,
	"second_factor_identification_id" text,
	"second_factor_verified_at" timestamp (3) with time zone,
	"second_factor_attempts" integer DEFAULT 0 NOT NULL,
	"password_reset_at" timestamp (3) with time zone,
	"created_session_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"abandon_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "invitations" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"email_address" text NOT NULL,
	"status" text NOT NULL,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"redirect_url" text,
	"notify" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sign_ups" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"client_id" text NOT NULL,
	"status" text NOT NULL,
	"email_address" text,
	"email_verified_at" timestamp (3) with time zone,
	"email_verification_strategy" text,
	"phone_number" text,
	"phone_verified_at" timestamp (3) with time zone,
	"username" text,
	"first_name" text,
	"last_name" text,
	"password_hash" text,
	"unsafe_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"one_time_token_id" text,
	"external_profile" jsonb,
	"external_strategy" text,
	"external_verified_at" timestamp (3) with time zone,
	"external_error" jsonb,
	"external_transferable" boolean DEFAULT false NOT NULL,
	"external_redirect_url" text,
	"redirect_url" text,
	"action_complete_redirect_url" text,
	"external_id" text,
	"custom_action" boolean DEFAULT false NOT NULL,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"locale" text,
	"legal_accepted_at" timestamp (3) with time zone,
	"created_user_id" text,
	"created_session_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"abandon_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "waitlist_entries" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"email_address" text NOT NULL,
	"status" text NOT NULL,
	"invitation_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sync_room_segments" (
	"room_id" bigint NOT NULL,
	"last_seq" bigint NOT NULL,
	"instance_id" text NOT NULL,
	"n" integer NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"crc" integer NOT NULL,
	"codec" smallint DEFAULT 1 NOT NULL,
	"chain" "bytea",
	"payload" "bytea" NOT NULL,
	CONSTRAINT "sync_room_segments_room_id_last_seq_pk" PRIMARY KEY("room_id","last_seq")
);
--> statement-breakpoint
CREATE TABLE "sync_room_snapshot_chunks" (
	"room_id" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"n" integer NOT NULL,
	"instance_id" text NOT NULL,
	"payload" "bytea" NOT NULL,
	CONSTRAINT "sync_room_snapshot_chunks_room_id_seq_n_pk" PRIMARY KEY("room_id","seq","n")
);
--> statement-breakpoint
CREATE TABLE "sync_room_snapshots" (
	"room_id" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"instance_id" text NOT NULL,
	"key_epoch" integer DEFAULT 0 NOT NULL,
	"state" text NOT NULL,
	"bytes" integer NOT NULL,
	"codec" text NOT NULL,
	"sha256" "bytea" NOT NULL,
	"chain" "bytea",
	"senders" "bytea",
	"author" text,
	"confirmed_at" timestamp (3) with time zone,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "sync_room_snapshots_room_id_seq_pk" PRIMARY KEY("room_id","seq")
);
--> statement-breakpoint
CREATE TABLE "sync_rooms" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "sync_rooms_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"instance_id" text NOT NULL,
	"key" text NOT NULL,
	"kind" text DEFAULT 'yjs' NOT NULL,
	"organization_id" text,
	"head" bigint DEFAULT 0 NOT NULL,
	"snapshot_seq" bigint DEFAULT 0 NOT NULL,
	"key_epoch" integer DEFAULT 0 NOT NULL,
	"incarnation" uuid DEFAULT gen_random_uuid() NOT NULL,
	"chain" "bytea",
	"key_params" "bytea",
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"deleted_at" timestamp (3) with time zone,
	CONSTRAINT "sync_rooms_key" UNIQUE("instance_id","key")
);
--> statement-breakpoint
CREATE TABLE "imports" (
	"instance_id" text NOT NULL,
	"file_hash" text NOT NULL,
	"position" bigint NOT NULL,
	"imported" bigint NOT NULL,
	"rejected" bigint NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "imports_instance_id_file_hash_pk" PRIMARY KEY("instance_id","file_hash")
);
--> statement-breakpoint
CREATE TABLE "email_addresses" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text NOT NULL,
	"email_address" text NOT NULL,
	"domain" text GENERATED ALWAYS AS (split_part(email_address, '@', 2)) STORED,
	"verified_at" timestamp (3) with time zone,
	"verification_strategy" text,
	"reserved" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "external_accounts" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text NOT NULL,
	"provider" text NOT NULL,
	"provider_user_id" text,
	"email_address" text DEFAULT '' NOT NULL,
	"username" text,
	"first_name" text,
	"last_name" text,
	"image_url" text,
	"phone_number" text,
	"approved_scopes" text DEFAULT '' NOT NULL,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"label" text,
	"sealed_tokens" text,
	"tokens_expire_at" timestamp (3) with time zone,
	"verified_at" timestamp (3) with time zone,
	"verification_error" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "phone_numbers" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"user_id" text NOT NULL,
	"phone_number" text NOT NULL,
	"verified_at" timestamp (3) with time zone,
	"verification_strategy" text,
	"reserved" boolean DEFAULT false NOT NULL,
	"reserved_for_second_factor" boolean DEFAULT false NOT NULL,
	"default_second_factor" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "user_search" (
	"user_id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"name" text DEFAULT '' NOT NULL,
	"username" text DEFAULT '' NOT NULL,
	"email_addresses" text DEFAULT '' NOT NULL,
	"phone_numbers" text DEFAULT '' NOT NULL,
	"document" text GENERATED ALWAYS AS (name || chr(10) || username || chr(10) || email_addresses || chr(10) || phone_numbers) STORED NOT NULL
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"external_id" text,
	"username" text,
	"username_key" text GENERATED ALWAYS AS (lower(username)) STORED,
	"first_name" text,
	"last_name" text,
	"primary_email_address_id" text,
	"primary_phone_number_id" text,
	"image_id" text,
	"locale" text,
	"public_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"private_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"unsafe_metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"banned" boolean DEFAULT false NOT NULL,
	"locked" boolean DEFAULT false NOT NULL,
	"locked_until" timestamp (3) with time zone,
	"failed_attempts" integer DEFAULT 0 NOT NULL,
	"bypass_client_trust" boolean DEFAULT false NOT NULL,
	"mfa_enabled_at" timestamp (3) with time zone,
	"mfa_disabled_at" timestamp (3) with time zone,
	"create_organization_enabled" boolean DEFAULT true NOT NULL,
	"create_organizations_limit" integer,
	"delete_self_enabled" boolean DEFAULT true NOT NULL,
	"legal_accepted_at" timestamp (3) with time zone,
	"last_sign_in_at" timestamp (3) with time zone,
	"last_active_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "vault_document_keys" (
	"instance_id" text NOT NULL,
	"doc_id" text NOT NULL,
	"epoch" integer NOT NULL,
	"user_id" text NOT NULL,
	"sealed" text NOT NULL,
	"signature" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"read_at" timestamp (3) with time zone,
	"withheld_since" timestamp (3) with time zone,
	"refused" text[] DEFAULT '{}' NOT NULL,
	CONSTRAINT "vault_document_keys_instance_id_doc_id_epoch_user_id_pk" PRIMARY KEY("instance_id","doc_id","epoch","user_id")
);
--> statement-breakpoint
CREATE TABLE "vault_documents" (
	"instance_id" text NOT NULL,
	"doc_id" text NOT NULL,
	"organization_id" text,
	"user_id" text,
	"epoch" integer DEFAULT 0 NOT NULL,
	"pending_since" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "vault_documents_instance_id_doc_id_pk" PRIMARY KEY("instance_id","doc_id"),
	CONSTRAINT "vault_documents_owner" CHECK ((organization_id is null) <> (user_id is null))
);
--> statement-breakpoint
CREATE TABLE "vault_epochs" (
	"instance_id" text NOT NULL,
	"doc_id" text NOT NULL,
	"epoch" integer NOT NULL,
	"key_hash" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "vault_epochs_instance_id_doc_id_epoch_pk" PRIMARY KEY("instance_id","doc_id","epoch")
);
--> statement-breakpoint
CREATE TABLE "vault_pairings" (
	"instance_id" text NOT NULL,
	"id" text NOT NULL,
	"user_id" text NOT NULL,
	"offer" text,
	"reveal" text,
	"sealed" text,
	"sealed_at" timestamp (3) with time zone,
	"taken_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "vault_pairings_instance_id_id_pk" PRIMARY KEY("instance_id","id")
);
--> statement-breakpoint
CREATE TABLE "vault_wraps" (
	"user_id" text NOT NULL,
	"kind" text NOT NULL,
	"name" text DEFAULT '' NOT NULL,
	"instance_id" text NOT NULL,
	"parameters" text,
	"sealed" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "vault_wraps_user_id_kind_name_pk" PRIMARY KEY("user_id","kind","name")
);
--> statement-breakpoint
CREATE TABLE "vaults" (
	"user_id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"public_key" text NOT NULL,
	"sign_public_key" text NOT NULL,
	"key_signature" text NOT NULL,
	"private_keys" text NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"open_reads" integer DEFAULT 0 NOT NULL,
	"window_started_at" timestamp (3) with time zone NOT NULL,
	"challenge" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "one_time_tokens" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"kind" text NOT NULL,
	"token_hash" text NOT NULL,
	"subject_id" text NOT NULL,
	"payload" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"consumed_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "one_time_tokens_token_hash_unique" UNIQUE("token_hash")
);
--> statement-breakpoint
CREATE TABLE "text_message_counts" (
	"instance_id" text NOT NULL,
	"scope" text NOT NULL,
	"window_start" timestamp (3) with time zone NOT NULL,
	"sent" integer NOT NULL,
	CONSTRAINT "text_message_counts_instance_id_scope_window_start_pk" PRIMARY KEY("instance_id","scope","window_start")
);
--> statement-breakpoint
CREATE TABLE "verification_codes" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"purpose" text NOT NULL,
	"subject_id" text NOT NULL,
	"channel" text DEFAULT 'email' NOT NULL,
	"recipient" text NOT NULL,
	"code_hash" text NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"consumed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "webhook_deliveries" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "webhook_deliveries_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"instance_id" text NOT NULL,
	"endpoint_id" text NOT NULL,
	"run" integer DEFAULT 0 NOT NULL,
	"position" bigint,
	"message_id" text NOT NULL,
	"type" text NOT NULL,
	"subject" text,
	"state" text NOT NULL,
	"attempts" smallint NOT NULL,
	"next_attempt_at" timestamp (3) with time zone,
	"response_status" smallint,
	"error" text,
	"duration_ms" integer,
	"attempted_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "webhook_endpoints" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"url" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"event_types" jsonb,
	"secrets" jsonb NOT NULL,
	"disabled_at" timestamp (3) with time zone,
	"disabled_reason" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "webhook_lanes" (
	"endpoint_id" text NOT NULL,
	"run" integer NOT NULL,
	"instance_id" text NOT NULL,
	"cursor" bigint NOT NULL,
	"until" bigint,
	"retry_at" timestamp (3) with time zone,
	"failures" integer DEFAULT 0 NOT NULL,
	"pauses" integer DEFAULT 0 NOT NULL,
	"failing_since" timestamp (3) with time zone,
	"paused_until" timestamp (3) with time zone,
	"lease_owner" text,
	"leased_until" timestamp (3) with time zone,
	CONSTRAINT "webhook_lanes_endpoint_id_run_pk" PRIMARY KEY("endpoint_id","run")
);
--> statement-breakpoint
CREATE TABLE "webhook_portal_sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"instance_id" text NOT NULL,
	"token_hash" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"ended_at" timestamp (3) with time zone,
	CONSTRAINT "webhook_portal_sessions_token_hash_unique" UNIQUE("token_hash")
);
--> statement-breakpoint
ALTER TABLE "role_permissions" ADD CONSTRAINT "role_permissions_role_id_roles_id_fk" FOREIGN KEY ("role_id") REFERENCES "public"."roles"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "role_permissions" ADD CONSTRAINT "role_permissions_permission_id_permissions_id_fk" FOREIGN KEY ("permission_id") REFERENCES "public"."permissions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "role_set_roles" ADD CONSTRAINT "role_set_roles_role_set_id_role_sets_id_fk" FOREIGN KEY ("role_set_id") REFERENCES "public"."role_sets"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "role_set_roles" ADD CONSTRAINT "role_set_roles_role_id_roles_id_fk" FOREIGN KEY ("role_id") REFERENCES "public"."roles"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "role_sets" ADD CONSTRAINT "role_sets_default_role_id_roles_id_fk" FOREIGN KEY ("default_role_id") REFERENCES "public"."roles"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "role_sets" ADD CONSTRAINT "role_sets_creator_role_id_roles_id_fk" FOREIGN KEY ("creator_role_id") REFERENCES "public"."roles"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "roles" ADD CONSTRAINT "roles_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "channel_messages" ADD CONSTRAINT "channel_messages_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "public"."channels"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "channel_read_markers" ADD CONSTRAINT "channel_read_markers_channel_id_channels_id_fk" FOREIGN KEY ("channel_id") REFERENCES "public"."channels"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "backup_codes" ADD CONSTRAINT "backup_codes_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "passkeys" ADD CONSTRAINT "passkeys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "passwords" ADD CONSTRAINT "passwords_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "totps" ADD CONSTRAINT "totps_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "feature_grants" ADD CONSTRAINT "feature_grants_feature_id_features_id_fk" FOREIGN KEY ("feature_id") REFERENCES "public"."features"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "feature_grants" ADD CONSTRAINT "feature_grants_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "feature_grants" ADD CONSTRAINT "feature_grants_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "images" ADD CONSTRAINT "images_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "images" ADD CONSTRAINT "images_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "instances" ADD CONSTRAINT "instances_application_id_applications_id_fk" FOREIGN KEY ("application_id") REFERENCES "public"."applications"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "instance_secret_keys" ADD CONSTRAINT "instance_secret_keys_instance_id_instances_id_fk" FOREIGN KEY ("instance_id") REFERENCES "public"."instances"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "instance_signing_keys" ADD CONSTRAINT "instance_signing_keys_instance_id_instances_id_fk" FOREIGN KEY ("instance_id") REFERENCES "public"."instances"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "m2m_tokens" ADD CONSTRAINT "m2m_tokens_machine_id_instance_id_machines_id_instance_id_fk" FOREIGN KEY ("machine_id","instance_id") REFERENCES "public"."machines"("id","instance_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "machine_scopes" ADD CONSTRAINT "machine_scopes_from_machine_id_instance_id_machines_id_instance_id_fk" FOREIGN KEY ("from_machine_id","instance_id") REFERENCES "public"."machines"("id","instance_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "machine_scopes" ADD CONSTRAINT "machine_scopes_to_machine_id_instance_id_machines_id_instance_id_fk" FOREIGN KEY ("to_machine_id","instance_id") REFERENCES "public"."machines"("id","instance_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "machine_secret_keys" ADD CONSTRAINT "machine_secret_keys_machine_id_instance_id_machines_id_instance_id_fk" FOREIGN KEY ("machine_id","instance_id") REFERENCES "public"."machines"("id","instance_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "group_members" ADD CONSTRAINT "group_members_group_fk" FOREIGN KEY ("group_id","organization_id") REFERENCES "public"."groups"("id","organization_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "group_members" ADD CONSTRAINT "group_members_membership_fk" FOREIGN KEY ("membership_id","organization_id") REFERENCES "public"."memberships"("id","organization_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "group_roles" ADD CONSTRAINT "group_roles_group_id_groups_id_fk" FOREIGN KEY ("group_id") REFERENCES "public"."groups"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "group_roles" ADD CONSTRAINT "group_roles_role_id_roles_id_fk" FOREIGN KEY ("role_id") REFERENCES "public"."roles"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "groups" ADD CONSTRAINT "groups_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "membership_permissions" ADD CONSTRAINT "membership_permissions_membership_id_memberships_id_fk" FOREIGN KEY ("membership_id") REFERENCES "public"."memberships"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "membership_permissions" ADD CONSTRAINT "membership_permissions_permission_id_permissions_id_fk" FOREIGN KEY ("permission_id") REFERENCES "public"."permissions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "membership_requests" ADD CONSTRAINT "membership_requests_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "membership_requests" ADD CONSTRAINT "membership_requests_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "membership_roles" ADD CONSTRAINT "membership_roles_membership_id_memberships_id_fk" FOREIGN KEY ("membership_id") REFERENCES "public"."memberships"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "membership_roles" ADD CONSTRAINT "membership_roles_role_id_roles_id_fk" FOREIGN KEY ("role_id") REFERENCES "public"."roles"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "memberships" ADD CONSTRAINT "memberships_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "memberships" ADD CONSTRAINT "memberships_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "memberships" ADD CONSTRAINT "memberships_role_id_roles_id_fk" FOREIGN KEY ("role_id") REFERENCES "public"."roles"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_domains" ADD CONSTRAINT "organization_domains_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_invitations" ADD CONSTRAINT "organization_invitations_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_invitations" ADD CONSTRAINT "organization_invitations_role_id_roles_id_fk" FOREIGN KEY ("role_id") REFERENCES "public"."roles"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_invitations" ADD CONSTRAINT "organization_invitations_domain_id_organization_domains_id_fk" FOREIGN KEY ("domain_id") REFERENCES "public"."organization_domains"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_suggestions" ADD CONSTRAINT "organization_suggestions_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_suggestions" ADD CONSTRAINT "organization_suggestions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_suggestions" ADD CONSTRAINT "organization_suggestions_domain_id_organization_domains_id_fk" FOREIGN KEY ("domain_id") REFERENCES "public"."organization_domains"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organizations" ADD CONSTRAINT "organizations_role_set_id_role_sets_id_fk" FOREIGN KEY ("role_set_id") REFERENCES "public"."role_sets"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "client_tokens" ADD CONSTRAINT "client_tokens_client_id_clients_id_fk" FOREIGN KEY ("client_id") REFERENCES "public"."clients"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "known_devices" ADD CONSTRAINT "known_devices_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "known_devices" ADD CONSTRAINT "known_devices_client_id_clients_id_fk" FOREIGN KEY ("client_id") REFERENCES "public"."clients"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_client_id_clients_id_fk" FOREIGN KEY ("client_id") REFERENCES "public"."clients"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "session_verifications" ADD CONSTRAINT "session_verifications_session_id_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."sessions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sign_ins" ADD CONSTRAINT "sign_ins_client_id_clients_id_fk" FOREIGN KEY ("client_id") REFERENCES "public"."clients"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sign_ups" ADD CONSTRAINT "sign_ups_client_id_clients_id_fk" FOREIGN KEY ("client_id") REFERENCES "public"."clients"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sync_room_segments" ADD CONSTRAINT "sync_room_segments_room_id_sync_rooms_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."sync_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sync_room_snapshot_chunks" ADD CONSTRAINT "sync_room_snapshot_chunks_room_id_sync_rooms_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."sync_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sync_room_snapshots" ADD CONSTRAINT "sync_room_snapshots_room_id_sync_rooms_id_fk" FOREIGN KEY ("room_id") REFERENCES "public"."sync_rooms"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "email_addresses" ADD CONSTRAINT "email_addresses_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "external_accounts" ADD CONSTRAINT "external_accounts_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "phone_numbers" ADD CONSTRAINT "phone_numbers_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "user_search" ADD CONSTRAINT "user_search_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vault_document_keys" ADD CONSTRAINT "vault_document_keys_instance_id_doc_id_vault_documents_instance_id_doc_id_fk" FOREIGN KEY ("instance_id","doc_id") REFERENCES "public"."vault_documents"("instance_id","doc_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vault_documents" ADD CONSTRAINT "vault_documents_organization_id_organizations_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vault_documents" ADD CONSTRAINT "vault_documents_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vault_epochs" ADD CONSTRAINT "vault_epochs_instance_id_doc_id_vault_documents_instance_id_doc_id_fk" FOREIGN KEY ("instance_id","doc_id") REFERENCES "public"."vault_documents"("instance_id","doc_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vault_pairings" ADD CONSTRAINT "vault_pairings_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vault_wraps" ADD CONSTRAINT "vault_wraps_user_id_vaults_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."vaults"("user_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vaults" ADD CONSTRAINT "vaults_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_lanes" ADD CONSTRAINT "webhook_lanes_endpoint_id_webhook_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "public"."webhook_endpoints"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "role_permissions_permission" ON "role_permissions" USING btree ("permission_id");--> statement-breakpoint
CREATE INDEX "role_set_roles_role" ON "role_set_roles" USING btree ("role_id");--> statement-breakpoint
CREATE UNIQUE INDEX "role_sets_initial" ON "role_sets" USING btree ("instance_id") WHERE type = 'initial';--> statement-breakpoint
CREATE INDEX "role_sets_default_role" ON "role_sets" USING btree ("default_role_id");--> statement-breakpoint
CREATE INDEX "role_sets_creator_role" ON "role_sets" USING btree ("creator_role_id");--> statement-breakpoint
CREATE UNIQUE INDEX "roles_key" ON "roles" USING btree ("instance_id","key") WHERE organization_id is null;--> statement-breakpoint
CREATE UNIQUE INDEX "roles_organization_key" ON "roles" USING btree ("organization_id","key") WHERE organization_id is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_name" ON "api_keys" USING btree ("subject","name") WHERE revoked_at is null;--> statement-breakpoint
CREATE INDEX "api_keys_created" ON "api_keys" USING btree ("subject","created_at" DESC NULLS LAST,"id");--> statement-breakpoint
CREATE INDEX "api_keys_user" ON "api_keys" USING btree ("user_id") WHERE user_id is not null;--> statement-breakpoint
CREATE INDEX "api_keys_organization" ON "api_keys" USING btree ("organization_id") WHERE organization_id is not null;--> statement-breakpoint
CREATE INDEX "api_keys_revoked" ON "api_keys" USING btree ("instance_id","revoked_at") WHERE revoked_at is not null;--> statement-breakpoint
CREATE INDEX "api_keys_expiry" ON "api_keys" USING btree ("instance_id","expires_at") WHERE expires_at is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "audit_entries_id" ON "audit_entries" USING btree ("instance_id","id");--> statement-breakpoint
CREATE INDEX "audit_entries_action" ON "audit_entries" USING btree ("instance_id","chain","action","place");--> statement-breakpoint
CREATE INDEX "channel_messages_expiry" ON "channel_messages" USING btree ("instance_id","expires_at");--> statement-breakpoint
CREATE INDEX "channels_written" ON "channels" USING btree ("instance_id","written_at");--> statement-breakpoint
CREATE UNIQUE INDEX "social_connections_provider" ON "social_connections" USING btree ("instance_id","provider");--> statement-breakpoint
CREATE INDEX "backup_codes_user" ON "backup_codes" USING btree ("user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "passkeys_credential" ON "passkeys" USING btree ("instance_id","credential_id");--> statement-breakpoint
CREATE INDEX "passkeys_user" ON "passkeys" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "events_created" ON "events" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "events_subject" ON "events" USING btree ("instance_id","subject","id");--> statement-breakpoint
CREATE UNIQUE INDEX "events_position" ON "events" USING btree ("instance_id","position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "events_pending" ON "events" USING btree ("id") WHERE pending;--> statement-breakpoint
CREATE UNIQUE INDEX "feature_grants_organization" ON "feature_grants" USING btree ("organization_id","feature_id","source") WHERE organization_id is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "feature_grants_user" ON "feature_grants" USING btree ("user_id","feature_id","source") WHERE user_id is not null;--> statement-breakpoint
CREATE INDEX "feature_grants_feature" ON "feature_grants" USING btree ("feature_id");--> statement-breakpoint
CREATE UNIQUE INDEX "images_user" ON "images" USING btree ("user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "images_organization" ON "images" USING btree ("organization_id");--> statement-breakpoint
CREATE UNIQUE INDEX "domains_name" ON "domains" USING btree ("instance_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "instances_default" ON "instances" USING btree ((host is null)) WHERE host is null;--> statement-breakpoint
CREATE INDEX "instances_application" ON "instances" USING btree ("application_id");--> statement-breakpoint
CREATE UNIQUE INDEX "redirect_urls_url" ON "redirect_urls" USING btree ("instance_id","url");--> statement-breakpoint
CREATE INDEX "instance_secret_keys_instance" ON "instance_secret_keys" USING btree ("instance_id");--> statement-breakpoint
CREATE INDEX "instance_signing_keys_instance" ON "instance_signing_keys" USING btree ("instance_id");--> statement-breakpoint
CREATE UNIQUE INDEX "instance_signing_keys_active" ON "instance_signing_keys" USING btree ("instance_id") WHERE state = 'active';--> statement-breakpoint
CREATE INDEX "m2m_tokens_machine" ON "m2m_tokens" USING btree ("machine_id","created_at");--> statement-breakpoint
CREATE INDEX "m2m_tokens_reusable" ON "m2m_tokens" USING btree ("machine_id","expires_at") WHERE sealed_token is not null and revoked_at is null;--> statement-breakpoint
CREATE INDEX "m2m_tokens_expiry" ON "m2m_tokens" USING btree ("instance_id","expires_at");--> statement-breakpoint
CREATE INDEX "machine_scopes_to" ON "machine_scopes" USING btree ("to_machine_id");--> statement-breakpoint
CREATE UNIQUE INDEX "machine_secret_keys_current" ON "machine_secret_keys" USING btree ("machine_id") WHERE expires_at is null;--> statement-breakpoint
CREATE INDEX "machine_secret_keys_machine" ON "machine_secret_keys" USING btree ("machine_id");--> statement-breakpoint
CREATE INDEX "machines_list" ON "machines" USING btree ("instance_id","created_at");--> statement-breakpoint
CREATE INDEX "messages_due" ON "messages" USING btree ("next_attempt_at") WHERE state = 'queued';--> statement-breakpoint
CREATE INDEX "messages_recent" ON "messages" USING btree ("instance_id","created_at");--> statement-breakpoint
CREATE INDEX "group_members_group" ON "group_members" USING btree ("group_id","created_at");--> statement-breakpoint
CREATE INDEX "group_roles_role" ON "group_roles" USING btree ("role_id");--> statement-breakpoint
CREATE UNIQUE INDEX "groups_name" ON "groups" USING btree ("organization_id",lower(name)) WHERE source = 'direct';--> statement-breakpoint
CREATE INDEX "groups_created" ON "groups" USING btree ("organization_id","created_at");--> statement-breakpoint
CREATE INDEX "membership_permissions_permission" ON "membership_permissions" USING btree ("permission_id");--> statement-breakpoint
CREATE UNIQUE INDEX "membership_requests_open" ON "membership_requests" USING btree ("organization_id","user_id") WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX "membership_requests_organization" ON "membership_requests" USING btree ("organization_id","status","created_at");--> statement-breakpoint
CREATE INDEX "membership_requests_user" ON "membership_requests" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "membership_roles_role" ON "membership_roles" USING btree ("role_id");--> statement-breakpoint
CREATE INDEX "memberships_user" ON "memberships" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "memberships_counted" ON "memberships" USING btree ("instance_id","organization_id");--> statement-breakpoint
CREATE INDEX "memberships_created" ON "memberships" USING btree ("organization_id","created_at" DESC NULLS FIRST,"id");--> statement-breakpoint
CREATE INDEX "memberships_role" ON "memberships" USING btree ("role_id");--> statement-breakpoint
CREATE UNIQUE INDEX "organization_domains_verified" ON "organization_domains" USING btree ("instance_id","name") WHERE affiliation_verified_at is not null or ownership_verified_at is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "organization_invitations_open" ON "organization_invitations" USING btree ("organization_id","email_address") WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX "organization_invitations_email" ON "organization_invitations" USING btree ("instance_id","email_address");--> statement-breakpoint
CREATE INDEX "organization_invitations_domain" ON "organization_invitations" USING btree ("domain_id");--> statement-breakpoint
CREATE INDEX "organization_invitations_role" ON "organization_invitations" USING btree ("role_id");--> statement-breakpoint
CREATE INDEX "organization_invitations_created" ON "organization_invitations" USING btree ("organization_id","created_at" DESC NULLS FIRST,"id");--> statement-breakpoint
CREATE INDEX "organization_invitations_pending" ON "organization_invitations" USING btree ("instance_id","organization_id","expires_at") WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX "organization_suggestions_user" ON "organization_suggestions" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "organization_suggestions_domain" ON "organization_suggestions" USING btree ("domain_id");--> statement-breakpoint
CREATE UNIQUE INDEX "organizations_external_id" ON "organizations" USING btree ("instance_id","external_id");--> statement-breakpoint
CREATE INDEX "organizations_created" ON "organizations" USING btree ("instance_id","created_at");--> statement-breakpoint
CREATE INDEX "organizations_creator" ON "organizations" USING btree ("instance_id","created_by");--> statement-breakpoint
CREATE INDEX "organizations_name_skeleton" ON "organizations" USING btree ("instance_id","name_skeleton");--> statement-breakpoint
CREATE INDEX "organizations_role_set" ON "organizations" USING btree ("role_set_id");--> statement-breakpoint
CREATE UNIQUE INDEX "allowlist_identifiers_identifier" ON "allowlist_identifiers" USING btree ("instance_id","identifier");--> statement-breakpoint
CREATE UNIQUE INDEX "blocklist_identifiers_identifier" ON "blocklist_identifiers" USING btree ("instance_id","identifier");--> statement-breakpoint
CREATE INDEX "client_tokens_client" ON "client_tokens" USING btree ("client_id");--> statement-breakpoint
CREATE INDEX "client_tokens_expiry" ON "client_tokens" USING btree ("instance_id","expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "jwt_templates_name" ON "jwt_templates" USING btree ("instance_id","name");--> statement-breakpoint
CREATE UNIQUE INDEX "known_devices_client" ON "known_devices" USING btree ("user_id","client_id");--> statement-breakpoint
CREATE INDEX "known_devices_of_client" ON "known_devices" USING btree ("client_id");--> statement-breakpoint
CREATE INDEX "sessions_client" ON "sessions" USING btree ("client_id");--> statement-breakpoint
CREATE INDEX "sessions_user" ON "sessions" USING btree ("user_id","created_at");--> statement-breakpoint
CREATE INDEX "sessions_actor" ON "sessions" USING btree ((actor ->> 'sub')) WHERE actor is not null;--> statement-breakpoint
CREATE INDEX "sessions_expiry" ON "sessions" USING btree ("instance_id","expire_at");--> statement-breakpoint
CREATE INDEX "sign_ins_client" ON "sign_ins" USING btree ("client_id");--> statement-breakpoint
CREATE INDEX "sign_ins_expiry" ON "sign_ins" USING btree ("instance_id","abandon_at");--> statement-breakpoint
CREATE UNIQUE INDEX "invitations_open" ON "invitations" USING btree ("instance_id","email_address") WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX "sign_ups_client" ON "sign_ups" USING btree ("client_id");--> statement-breakpoint
CREATE INDEX "sign_ups_expiry" ON "sign_ups" USING btree ("instance_id","abandon_at");--> statement-breakpoint
CREATE UNIQUE INDEX "waitlist_entries_address" ON "waitlist_entries" USING btree ("instance_id","email_address");--> statement-breakpoint
CREATE INDEX "waitlist_entries_pending" ON "waitlist_entries" USING btree ("instance_id","created_at") WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX "sync_room_snapshots_at" ON "sync_room_snapshots" USING btree ("at");--> statement-breakpoint
CREATE UNIQUE INDEX "email_addresses_verified" ON "email_addresses" USING btree ("instance_id","email_address") WHERE verified_at is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "email_addresses_of_user" ON "email_addresses" USING btree ("user_id","email_address");--> statement-breakpoint
CREATE INDEX "email_addresses_address" ON "email_addresses" USING btree ("instance_id","email_address");--> statement-breakpoint
CREATE INDEX "email_addresses_domain" ON "email_addresses" USING btree ("instance_id","domain") WHERE verified_at is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "external_accounts_provider" ON "external_accounts" USING btree ("instance_id","provider","provider_user_id");--> statement-breakpoint
CREATE INDEX "external_accounts_user" ON "external_accounts" USING btree ("user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "phone_numbers_verified" ON "phone_numbers" USING btree ("instance_id","phone_number") WHERE verified_at is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "phone_numbers_of_user" ON "phone_numbers" USING btree ("user_id","phone_number");--> statement-breakpoint
CREATE INDEX "phone_numbers_number" ON "phone_numbers" USING btree ("instance_id","phone_number");--> statement-breakpoint
CREATE INDEX "user_search_instance" ON "user_search" USING btree ("instance_id");--> statement-breakpoint
CREATE UNIQUE INDEX "users_username" ON "users" USING btree ("instance_id","username_key") WHERE username_key is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "users_external_id" ON "users" USING btree ("instance_id","external_id") WHERE external_id is not null;--> statement-breakpoint
CREATE INDEX "users_created" ON "users" USING btree ("instance_id","created_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "users_updated" ON "users" USING btree ("instance_id","updated_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "users_last_sign_in" ON "users" USING btree ("instance_id","last_sign_in_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "users_last_active" ON "users" USING btree ("instance_id","last_active_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "vault_document_keys_user" ON "vault_document_keys" USING btree ("instance_id","user_id");--> statement-breakpoint
CREATE INDEX "vault_documents_organization" ON "vault_documents" USING btree ("organization_id");--> statement-breakpoint
CREATE INDEX "vault_documents_user" ON "vault_documents" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "vault_pairings_user" ON "vault_pairings" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "one_time_tokens_subject" ON "one_time_tokens" USING btree ("instance_id","kind","subject_id");--> statement-breakpoint
CREATE INDEX "one_time_tokens_expiry" ON "one_time_tokens" USING btree ("instance_id","expires_at");--> statement-breakpoint
CREATE INDEX "verification_codes_subject" ON "verification_codes" USING btree ("instance_id","purpose","subject_id");--> statement-breakpoint
CREATE INDEX "verification_codes_expiry" ON "verification_codes" USING btree ("instance_id","expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "webhook_deliveries_position" ON "webhook_deliveries" USING btree ("endpoint_id","run","position");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_waiting" ON "webhook_deliveries" USING btree ("endpoint_id","run","subject","position") WHERE state = 'waiting';--> statement-breakpoint
CREATE INDEX "webhook_endpoints_instance" ON "webhook_endpoints" USING btree ("instance_id","created_at");--> statement-breakpoint
CREATE INDEX "webhook_portal_sessions_expiry" ON "webhook_portal_sessions" USING btree ("instance_id","expires_at");