import type { Template } from '../../domains/messaging/index.ts'

export function presentTemplate(template: Template, instanceId: string) {
  return {
    object: 'template' as const,
    instance_id: instanceId,
    resource_type: template.edited ? ('user' as const) : ('system' as const),
    template_type: template.channel,
    name: template.label,
    slug: template.name,
    position: 0,
    can_edit: true,
    can_revert: template.edited,
    can_delete: false,
    can_toggle: false,
    enabled: true,
    delivered_by_clerk: true,
    locale: template.locale,
    /** The language whose text is used for it. */
    text_locale: template.textLocale,
    locales: template.locales,
    subject: template.subject,
    markup: template.body,
    body: template.body,
    from_email_name: null,
    reply_to_email_name: null,
    available_variables: template.variables,
    required_variables: template.requiredVariables,
    created_at: template.createdAt?.getTime() ?? null,
    updated_at: template.updatedAt?.getTime() ?? null,
  }
}
