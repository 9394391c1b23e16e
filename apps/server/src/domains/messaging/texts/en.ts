import type { Language } from './language.ts'

const ignore = 'If you did not ask for this, you can ignore this email.'
const details = 'Time: {{time}}\nDevice: {{device}}\nPlace: {{place}}\nIP address: {{ip_address}}'
const notYou =
  '> If this was not you, reset your password at once, and in your account settings, under Security, sign out of every device that you do not know.'
const forYouOnly =
  '> The invitation is for this email address only. If you did not expect it, you can ignore this email.'

export const en: Language = {
  emails: {
    verification_code: {
      subject: '{{code}} is your code for {{application_name}}',
      body: `Enter this code to continue with {{application_name}}. It is valid for 10 minutes.\n\n{{code}}\n\n> ${ignore} Nobody from {{application_name}} will ever ask you for it.`,
    },
    reset_password_code: {
      subject: '{{code}} is your code to reset your password',
      body: `Enter this code to set a new password for {{application_name}}. It is valid for 10 minutes.\n\n{{code}}\n\n> ${ignore} Your password stays as it is.`,
    },
    magic_link_sign_in: {
      subject: 'Your link to sign in to {{application_name}}',
      body: `Open this link to sign in to {{application_name}}. It is valid for 10 minutes and works once.\n\n[Sign in]({{url}})\n\n${details}\n\n> ${ignore} Do not pass the link on: whoever opens it signs in as you.`,
    },
    magic_link_sign_up: {
      subject: 'Your link to sign up for {{application_name}}',
      body: `Open this link to confirm your email address and create your account. It is valid for 10 minutes and works once.\n\n[Confirm and continue]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    magic_link_user_profile: {
      subject: 'Confirm your email address for {{application_name}}',
      body: `Open this link to confirm that this email address is yours. It is valid for 10 minutes and works once.\n\n[Confirm email address]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    invitation: {
      subject: 'You are invited to {{application_name}}',
      body: `You are invited to create an account on {{application_name}}.\n\n[Accept invitation]({{url}})\n\n${forYouOnly}`,
    },
    organization_invitation: {
      subject: '{{inviter_name}} invited you to {{organization_name}}',
      body: `{{inviter_name}} invites you to join {{organization_name}} on {{application_name}}.\n\n[Accept invitation]({{url}})\n\n${forYouOnly}`,
    },
    waitlist_confirmation: {
      subject: 'You are on the waitlist of {{application_name}}',
      body: `Thank you for your interest in {{application_name}}. You are on the waitlist, and you will get an email as soon as there is a place for you.\n\n> ${ignore}`,
    },
    waitlist_invitation: {
      subject: 'Your place on {{application_name}} is ready',
      body: `You were on the waitlist of {{application_name}}. Now you can create your account.\n\n[Create account]({{url}})\n\n${forYouOnly}`,
    },
    password_changed: {
      subject: 'Your password for {{application_name}} was changed',
      body: `The password of your account was just changed.\n\n${details}\n\n${notYou}`,
    },
    password_removed: {
      subject: 'Your password for {{application_name}} was removed',
      body: `The password of your account was just removed. You sign in by your other ways from now on.\n\n${details}\n\n${notYou}`,
    },
    primary_email_address_changed: {
      subject: 'The email address of your {{application_name}} account was changed',
      body: `The main email address of your account is {{new_email_address}} from now on.\n\n${details}\n\n${notYou}`,
    },
    email_address_removed: {
      subject: 'An email address was removed from your {{application_name}} account',
      body: `{{email_address}} no longer belongs to your account, and nobody can sign in with it.\n\n${details}\n\n${notYou}`,
    },
    new_device_sign_in: {
      subject: 'New sign-in to {{application_name}}',
      body: `Your account was just used on a device that it was not used on before.\n\n${details}\n\n[Open {{application_name}}]({{home_url}})\n\n> If this was you, there is nothing to do. If not, change your password at once, and in your account settings, under Security, sign out of this device.`,
    },
    account_locked: {
      subject: 'Your account for {{application_name}} is locked',
      body: `There were too many failed attempts to sign in to your account, so it is locked. You can sign in again {{unlocks}}.\n\nThe last attempt:\n${details}\n\n> If it was not you who tried, choose a new, long password once the account is unlocked.`,
    },
    passkey_added: {
      subject: 'A passkey was added to your {{application_name}} account',
      body: `The passkey {{passkey_name}} can be used to sign in to your account from now on.\n\n${details}\n\n${notYou}`,
    },
    passkey_removed: {
      subject: 'A passkey was removed from your {{application_name}} account',
      body: `The passkey {{passkey_name}} can no longer be used to sign in to your account.\n\n${details}\n\n${notYou}`,
    },
    mfa_enabled: {
      subject: 'A second step was added to your {{application_name}} account',
      body: `Signing in now also asks for: {{method}}.\n\n${details}\n\n${notYou}`,
    },
    mfa_disabled: {
      subject: 'A second step was removed from your {{application_name}} account',
      body: `Signing in no longer asks for: {{method}}.\n\n${details}\n\n${notYou}`,
    },
    backup_codes_regenerated: {
      subject: 'New backup codes for your {{application_name}} account',
      body: `New backup codes were made for your account. The earlier ones no longer work.\n\n${details}\n\n${notYou}`,
    },
    external_account_linked: {
      subject: '{{provider}} was connected to your {{application_name}} account',
      body: `The {{provider}} account {{account}} can be used to sign in to your account from now on.\n\n${details}\n\n> If this was not you, remove it in your account settings and change your password at once.`,
    },
    external_account_removed: {
      subject: '{{provider}} was removed from your {{application_name}} account',
      body: `The {{provider}} account {{account}} can no longer be used to sign in to your account.\n\n${details}\n\n${notYou}`,
    },
    webhook_endpoint_disabled: {
      subject: 'A webhook endpoint of {{application_name}} was disabled',
      body: `An endpoint accepted no webhooks for a long time, so it gets no more of them:\n\n{{url}}\n\nNothing is lost: enable it again once it works, and it gets what happened in the meantime, as far back as events are kept.`,
    },
  },
  texts: {
    verification_code: '{{code}} is your code for {{application_name}}. Do not share it with anybody.',
    reset_password_code: '{{code}} is your code to reset your password for {{application_name}}. Do not share it.',
  },
  words: {
    unknownDevice: 'unknown device',
    unknownPlace: 'unknown place',
    unknown: 'unknown',
    somebody: 'Somebody',
    unlockedForYou: 'as soon as it has been unlocked for you',
    methods: {
      totp: 'a code from an authenticator app',
      phone_code: 'a code by text message',
      backup_code: 'a backup code',
    },
    questions: 'Questions?',
  },
}
