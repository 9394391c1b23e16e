import type { Language } from './language.ts'

const ignore = 'Si vous n’avez rien demandé, vous pouvez ignorer cet e-mail.'
const details = 'Heure : {{time}}\nAppareil : {{device}}\nLieu : {{place}}\nAdresse IP : {{ip_address}}'
const notYou =
  '> Si ce n’était pas vous, réinitialisez votre mot de passe immédiatement et, dans les paramètres de votre compte, sous « Sécurité », déconnectez tous les appareils que vous ne connaissez pas.'
const forYouOnly =
  '> L’invitation est réservée à cette adresse e-mail. Si vous ne l’attendiez pas, vous pouvez ignorer cet e-mail.'

export const fr: Language = {
  emails: {
    verification_code: {
      subject: '{{code}} est votre code pour {{application_name}}',
      body: `Saisissez ce code pour continuer avec {{application_name}}. Il est valable 10 minutes.\n\n{{code}}\n\n> ${ignore} Personne de {{application_name}} ne vous le demandera jamais.`,
    },
    reset_password_code: {
      subject: '{{code}} est votre code pour réinitialiser votre mot de passe',
      body: `Saisissez ce code pour choisir un nouveau mot de passe pour {{application_name}}. Il est valable 10 minutes.\n\n{{code}}\n\n> ${ignore} Votre mot de passe reste le même.`,
    },
    magic_link_sign_in: {
      subject: 'Votre lien de connexion à {{application_name}}',
      body: `Ouvrez ce lien pour vous connecter à {{application_name}}. Il est valable 10 minutes et une seule fois.\n\n[Se connecter]({{url}})\n\n${details}\n\n> ${ignore} Ne transmettez pas ce lien : la personne qui l’ouvre se connecte à votre place.`,
    },
    magic_link_sign_up: {
      subject: 'Votre lien d’inscription à {{application_name}}',
      body: `Ouvrez ce lien pour confirmer votre adresse e-mail et créer votre compte. Il est valable 10 minutes et une seule fois.\n\n[Confirmer et continuer]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    magic_link_user_profile: {
      subject: 'Confirmez votre adresse e-mail pour {{application_name}}',
      body: `Ouvrez ce lien pour confirmer que cette adresse e-mail est la vôtre. Il est valable 10 minutes et une seule fois.\n\n[Confirmer l’adresse]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    invitation: {
      subject: 'Invitation à {{application_name}}',
      body: `Vous êtes invité à créer un compte sur {{application_name}}.\n\n[Accepter l’invitation]({{url}})\n\n${forYouOnly}`,
    },
    organization_invitation: {
      subject: '{{inviter_name}} vous invite à rejoindre {{organization_name}}',
      body: `{{inviter_name}} vous invite à rejoindre {{organization_name}} sur {{application_name}}.\n\n[Accepter l’invitation]({{url}})\n\n${forYouOnly}`,
    },
    waitlist_confirmation: {
      subject: 'Vous êtes sur la liste d’attente de {{application_name}}',
      body: `Merci de votre intérêt pour {{application_name}}. Vous êtes sur la liste d’attente et recevrez un e-mail dès qu’une place sera libre.\n\n> ${ignore}`,
    },
    waitlist_invitation: {
      subject: 'Votre place sur {{application_name}} est prête',
      body: `Vous étiez sur la liste d’attente de {{application_name}}. Vous pouvez maintenant créer votre compte.\n\n[Créer un compte]({{url}})\n\n${forYouOnly}`,
    },
    password_changed: {
      subject: 'Votre mot de passe pour {{application_name}} a été modifié',
      body: `Le mot de passe de votre compte vient d’être modifié.\n\n${details}\n\n${notYou}`,
    },
    password_removed: {
      subject: 'Votre mot de passe pour {{application_name}} a été supprimé',
      body: `Le mot de passe de votre compte vient d’être supprimé. Vous vous connectez désormais par vos autres moyens.\n\n${details}\n\n${notYou}`,
    },
    primary_email_address_changed: {
      subject: 'L’adresse e-mail de votre compte {{application_name}} a été modifiée',
      body: `L’adresse principale de votre compte est désormais {{new_email_address}}.\n\n${details}\n\n${notYou}`,
    },
    email_address_removed: {
      subject: 'Une adresse e-mail a été retirée de votre compte {{application_name}}',
      body: `{{email_address}} n’appartient plus à votre compte, et personne ne peut s’en servir pour se connecter.\n\n${details}\n\n${notYou}`,
    },
    new_device_sign_in: {
      subject: 'Nouvelle connexion à {{application_name}}',
      body: `Votre compte vient d’être utilisé sur un appareil sur lequel il ne l’avait jamais été.\n\n${details}\n\n[Ouvrir {{application_name}}]({{home_url}})\n\n> Si c’était vous, il n’y a rien à faire. Sinon, changez votre mot de passe immédiatement et, dans les paramètres de votre compte, sous « Sécurité », déconnectez cet appareil.`,
    },
    account_locked: {
      subject: 'Votre compte {{application_name}} est verrouillé',
      body: `Il y a eu trop de tentatives de connexion infructueuses, votre compte est donc verrouillé. Vous pourrez vous reconnecter {{unlocks}}.\n\nLa dernière tentative :\n${details}\n\n> Si ce n’était pas vous, choisissez un nouveau mot de passe, long, dès que le compte sera déverrouillé.`,
    },
    passkey_added: {
      subject: 'Une clé d’accès a été ajoutée à votre compte {{application_name}}',
      body: `La clé d’accès {{passkey_name}} permet désormais de se connecter à votre compte.\n\n${details}\n\n${notYou}`,
    },
    passkey_removed: {
      subject: 'Une clé d’accès a été retirée de votre compte {{application_name}}',
      body: `La clé d’accès {{passkey_name}} ne permet plus de se connecter à votre compte.\n\n${details}\n\n${notYou}`,
    },
    mfa_enabled: {
      subject: 'Une deuxième étape a été ajoutée à votre compte {{application_name}}',
      body: `La connexion demande désormais aussi : {{method}}.\n\n${details}\n\n${notYou}`,
    },
    mfa_disabled: {
      subject: 'Une deuxième étape a été retirée de votre compte {{application_name}}',
      body: `La connexion ne demande plus : {{method}}.\n\n${details}\n\n${notYou}`,
    },
    backup_codes_regenerated: {
      subject: 'Nouveaux codes de secours pour votre compte {{application_name}}',
      body: `De nouveaux codes de secours ont été créés pour votre compte. Les précédents ne fonctionnent plus.\n\n${details}\n\n${notYou}`,
    },
    external_account_linked: {
      subject: '{{provider}} a été connecté à votre compte {{application_name}}',
      body: `Le compte {{provider}} {{account}} permet désormais de se connecter à votre compte.\n\n${details}\n\n> Si ce n’était pas vous, retirez-le dans les paramètres de votre compte et changez votre mot de passe immédiatement.`,
    },
    external_account_removed: {
      subject: '{{provider}} a été retiré de votre compte {{application_name}}',
      body: `Le compte {{provider}} {{account}} ne permet plus de se connecter à votre compte.\n\n${details}\n\n${notYou}`,
    },
    webhook_endpoint_disabled: {
      subject: 'Une destination de webhooks de {{application_name}} a été désactivée',
      body: `Une destination n’a accepté aucun webhook depuis longtemps, elle n’en reçoit donc plus :\n\n{{url}}\n\nRien n’est perdu : réactivez-la dès qu’elle fonctionne et elle recevra ce qui s’est passé entre-temps, tant que les événements sont conservés.`,
    },
  },
  texts: {
    verification_code: '{{code}} est votre code pour {{application_name}}. Ne le communiquez à personne.',
    reset_password_code:
      '{{code}} est votre code pour réinitialiser votre mot de passe {{application_name}}. Ne le communiquez à personne.',
  },
  words: {
    unknownDevice: 'appareil inconnu',
    unknownPlace: 'lieu inconnu',
    unknown: 'inconnue',
    somebody: 'Quelqu’un',
    unlockedForYou: 'dès qu’il aura été déverrouillé pour vous',
    methods: {
      totp: 'un code d’une application d’authentification',
      phone_code: 'un code par SMS',
      backup_code: 'un code de secours',
    },
    questions: 'Des questions ?',
  },
}
