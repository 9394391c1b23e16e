import type { Language } from './language.ts'

const ignore = 'Falls du das nicht angefordert hast, kannst du diese E-Mail ignorieren.'
const details = 'Zeit: {{time}}\nGerät: {{device}}\nOrt: {{place}}\nIP-Adresse: {{ip_address}}'
const notYou =
  '> Falls du das nicht warst, setze sofort dein Passwort zurück und melde in deinen Kontoeinstellungen unter „Sicherheit“ alle Geräte ab, die du nicht kennst.'
const forYouOnly =
  '> Die Einladung gilt nur für diese E-Mail-Adresse. Falls du sie nicht erwartet hast, kannst du diese E-Mail ignorieren.'

export const de: Language = {
  emails: {
    verification_code: {
      subject: '{{code}} ist dein Code für {{application_name}}',
      body: `Gib diesen Code ein, um mit {{application_name}} fortzufahren. Er gilt 10 Minuten.\n\n{{code}}\n\n> ${ignore} Niemand von {{application_name}} wird dich je danach fragen.`,
    },
    reset_password_code: {
      subject: '{{code}} ist dein Code, um dein Passwort zurückzusetzen',
      body: `Gib diesen Code ein, um ein neues Passwort für {{application_name}} festzulegen. Er gilt 10 Minuten.\n\n{{code}}\n\n> ${ignore} Dein Passwort bleibt, wie es ist.`,
    },
    magic_link_sign_in: {
      subject: 'Dein Link zur Anmeldung bei {{application_name}}',
      body: `Öffne diesen Link, um dich bei {{application_name}} anzumelden. Er gilt 10 Minuten und nur einmal.\n\n[Anmelden]({{url}})\n\n${details}\n\n> ${ignore} Gib den Link nicht weiter: Wer ihn öffnet, meldet sich als du an.`,
    },
    magic_link_sign_up: {
      subject: 'Dein Link zur Registrierung bei {{application_name}}',
      body: `Öffne diesen Link, um deine E-Mail-Adresse zu bestätigen und dein Konto anzulegen. Er gilt 10 Minuten und nur einmal.\n\n[Bestätigen und weiter]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    magic_link_user_profile: {
      subject: 'Bestätige deine E-Mail-Adresse für {{application_name}}',
      body: `Öffne diesen Link, um zu bestätigen, dass diese E-Mail-Adresse dir gehört. Er gilt 10 Minuten und nur einmal.\n\n[E-Mail-Adresse bestätigen]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    invitation: {
      subject: 'Einladung zu {{application_name}}',
      body: `Du bist eingeladen, ein Konto bei {{application_name}} anzulegen.\n\n[Einladung annehmen]({{url}})\n\n${forYouOnly}`,
    },
    organization_invitation: {
      subject: '{{inviter_name}} lädt dich zu {{organization_name}} ein',
      body: `{{inviter_name}} lädt dich ein, {{organization_name}} auf {{application_name}} beizutreten.\n\n[Einladung annehmen]({{url}})\n\n${forYouOnly}`,
    },
    waitlist_confirmation: {
      subject: 'Du stehst auf der Warteliste von {{application_name}}',
      body: `Danke für dein Interesse an {{application_name}}. Du stehst auf der Warteliste und bekommst eine E-Mail, sobald ein Platz für dich frei ist.\n\n> ${ignore}`,
    },
    waitlist_invitation: {
      subject: 'Dein Platz bei {{application_name}} ist frei',
      body: `Du standest auf der Warteliste von {{application_name}}. Jetzt kannst du dein Konto anlegen.\n\n[Konto anlegen]({{url}})\n\n${forYouOnly}`,
    },
    password_changed: {
      subject: 'Dein Passwort für {{application_name}} wurde geändert',
      body: `Das Passwort deines Kontos wurde gerade geändert.\n\n${details}\n\n${notYou}`,
    },
    password_removed: {
      subject: 'Dein Passwort für {{application_name}} wurde entfernt',
      body: `Das Passwort deines Kontos wurde gerade entfernt. Ab jetzt meldest du dich auf deinen anderen Wegen an.\n\n${details}\n\n${notYou}`,
    },
    primary_email_address_changed: {
      subject: 'Die E-Mail-Adresse deines Kontos bei {{application_name}} wurde geändert',
      body: `Die Hauptadresse deines Kontos ist ab jetzt {{new_email_address}}.\n\n${details}\n\n${notYou}`,
    },
    email_address_removed: {
      subject: 'Eine E-Mail-Adresse wurde aus deinem Konto bei {{application_name}} entfernt',
      body: `{{email_address}} gehört nicht mehr zu deinem Konto, und niemand kann sich damit anmelden.\n\n${details}\n\n${notYou}`,
    },
    new_device_sign_in: {
      subject: 'Neue Anmeldung bei {{application_name}}',
      body: `Dein Konto wurde gerade auf einem Gerät benutzt, auf dem es bisher nicht benutzt wurde.\n\n${details}\n\n[{{application_name}} öffnen]({{home_url}})\n\n> Falls du das warst, ist nichts zu tun. Falls nicht, ändere sofort dein Passwort und melde dieses Gerät in deinen Kontoeinstellungen unter „Sicherheit“ ab.`,
    },
    account_locked: {
      subject: 'Dein Konto bei {{application_name}} ist gesperrt',
      body: `Es gab zu viele fehlgeschlagene Anmeldeversuche, deshalb ist dein Konto gesperrt. Du kannst dich wieder anmelden: {{unlocks}}.\n\nDer letzte Versuch:\n${details}\n\n> Falls du das nicht warst, wähle ein neues, langes Passwort, sobald das Konto entsperrt ist.`,
    },
    passkey_added: {
      subject: 'Ein Passkey wurde deinem Konto bei {{application_name}} hinzugefügt',
      body: `Mit dem Passkey {{passkey_name}} kann man sich ab jetzt bei deinem Konto anmelden.\n\n${details}\n\n${notYou}`,
    },
    passkey_removed: {
      subject: 'Ein Passkey wurde aus deinem Konto bei {{application_name}} entfernt',
      body: `Mit dem Passkey {{passkey_name}} kann man sich nicht mehr bei deinem Konto anmelden.\n\n${details}\n\n${notYou}`,
    },
    mfa_enabled: {
      subject: 'Ein zweiter Schritt wurde deinem Konto bei {{application_name}} hinzugefügt',
      body: `Bei der Anmeldung wird ab jetzt auch verlangt: {{method}}.\n\n${details}\n\n${notYou}`,
    },
    mfa_disabled: {
      subject: 'Ein zweiter Schritt wurde aus deinem Konto bei {{application_name}} entfernt',
      body: `Bei der Anmeldung wird nicht mehr verlangt: {{method}}.\n\n${details}\n\n${notYou}`,
    },
    backup_codes_regenerated: {
      subject: 'Neue Ersatzcodes für dein Konto bei {{application_name}}',
      body: `Für dein Konto wurden neue Ersatzcodes erstellt. Die früheren gelten nicht mehr.\n\n${details}\n\n${notYou}`,
    },
    external_account_linked: {
      subject: '{{provider}} wurde mit deinem Konto bei {{application_name}} verbunden',
      body: `Mit dem {{provider}}-Konto {{account}} kann man sich ab jetzt bei deinem Konto anmelden.\n\n${details}\n\n> Falls du das nicht warst, entferne es in deinen Kontoeinstellungen und ändere sofort dein Passwort.`,
    },
    external_account_removed: {
      subject: '{{provider}} wurde aus deinem Konto bei {{application_name}} entfernt',
      body: `Mit dem {{provider}}-Konto {{account}} kann man sich nicht mehr bei deinem Konto anmelden.\n\n${details}\n\n${notYou}`,
    },
    webhook_endpoint_disabled: {
      subject: 'Ein Webhook-Ziel von {{application_name}} wurde abgeschaltet',
      body: `Ein Ziel hat lange keine Webhooks angenommen und bekommt deshalb keine mehr:\n\n{{url}}\n\nVerloren ist nichts: Schalte es wieder ein, sobald es funktioniert, dann bekommt es alles, was seither geschehen ist, soweit die Ereignisse noch aufbewahrt werden.`,
    },
  },
  texts: {
    verification_code: '{{code}} ist dein Code für {{application_name}}. Gib ihn niemandem weiter.',
    reset_password_code:
      '{{code}} ist dein Code, um dein Passwort für {{application_name}} zurückzusetzen. Gib ihn niemandem weiter.',
  },
  words: {
    unknownDevice: 'unbekanntes Gerät',
    unknownPlace: 'unbekannter Ort',
    unknown: 'unbekannt',
    somebody: 'Jemand',
    unlockedForYou: 'sobald es für dich entsperrt wurde',
    methods: {
      totp: 'ein Code aus einer Authenticator-App',
      phone_code: 'ein Code per SMS',
      backup_code: 'ein Ersatzcode',
    },
    questions: 'Fragen?',
  },
}
