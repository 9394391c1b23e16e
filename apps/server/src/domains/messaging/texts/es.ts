import type { Language } from './language.ts'

const ignore = 'Si no lo has pedido tú, puedes ignorar este correo.'
const details = 'Hora: {{time}}\nDispositivo: {{device}}\nLugar: {{place}}\nDirección IP: {{ip_address}}'
const notYou =
  '> Si no has sido tú, restablece tu contraseña de inmediato y, en los ajustes de tu cuenta, en «Seguridad», cierra la sesión de todos los dispositivos que no conozcas.'
const forYouOnly =
  '> La invitación es solo para esta dirección de correo. Si no la esperabas, puedes ignorar este correo.'

export const es: Language = {
  emails: {
    verification_code: {
      subject: '{{code}} es tu código para {{application_name}}',
      body: `Introduce este código para continuar con {{application_name}}. Es válido durante 10 minutos.\n\n{{code}}\n\n> ${ignore} Nadie de {{application_name}} te lo pedirá nunca.`,
    },
    reset_password_code: {
      subject: '{{code}} es tu código para restablecer la contraseña',
      body: `Introduce este código para elegir una contraseña nueva en {{application_name}}. Es válido durante 10 minutos.\n\n{{code}}\n\n> ${ignore} Tu contraseña no cambia.`,
    },
    magic_link_sign_in: {
      subject: 'Tu enlace para iniciar sesión en {{application_name}}',
      body: `Abre este enlace para iniciar sesión en {{application_name}}. Es válido durante 10 minutos y una sola vez.\n\n[Iniciar sesión]({{url}})\n\n${details}\n\n> ${ignore} No compartas el enlace: quien lo abra iniciará sesión como tú.`,
    },
    magic_link_sign_up: {
      subject: 'Tu enlace para registrarte en {{application_name}}',
      body: `Abre este enlace para confirmar tu dirección de correo y crear tu cuenta. Es válido durante 10 minutos y una sola vez.\n\n[Confirmar y continuar]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    magic_link_user_profile: {
      subject: 'Confirma tu dirección de correo para {{application_name}}',
      body: `Abre este enlace para confirmar que esta dirección de correo es tuya. Es válido durante 10 minutos y una sola vez.\n\n[Confirmar dirección]({{url}})\n\n${details}\n\n> ${ignore}`,
    },
    invitation: {
      subject: 'Invitación a {{application_name}}',
      body: `Te han invitado a crear una cuenta en {{application_name}}.\n\n[Aceptar invitación]({{url}})\n\n${forYouOnly}`,
    },
    organization_invitation: {
      subject: '{{inviter_name}} te invita a {{organization_name}}',
      body: `{{inviter_name}} te invita a unirte a {{organization_name}} en {{application_name}}.\n\n[Aceptar invitación]({{url}})\n\n${forYouOnly}`,
    },
    waitlist_confirmation: {
      subject: 'Estás en la lista de espera de {{application_name}}',
      body: `Gracias por tu interés en {{application_name}}. Estás en la lista de espera y recibirás un correo en cuanto haya sitio para ti.\n\n> ${ignore}`,
    },
    waitlist_invitation: {
      subject: 'Ya hay sitio para ti en {{application_name}}',
      body: `Estabas en la lista de espera de {{application_name}}. Ya puedes crear tu cuenta.\n\n[Crear cuenta]({{url}})\n\n${forYouOnly}`,
    },
    password_changed: {
      subject: 'Se ha cambiado tu contraseña de {{application_name}}',
      body: `La contraseña de tu cuenta se acaba de cambiar.\n\n${details}\n\n${notYou}`,
    },
    password_removed: {
      subject: 'Se ha eliminado tu contraseña de {{application_name}}',
      body: `La contraseña de tu cuenta se acaba de eliminar. A partir de ahora inicias sesión por tus otros medios.\n\n${details}\n\n${notYou}`,
    },
    primary_email_address_changed: {
      subject: 'Se ha cambiado la dirección de correo de tu cuenta de {{application_name}}',
      body: `La dirección principal de tu cuenta es ahora {{new_email_address}}.\n\n${details}\n\n${notYou}`,
    },
    email_address_removed: {
      subject: 'Se ha eliminado una dirección de correo de tu cuenta de {{application_name}}',
      body: `{{email_address}} ya no pertenece a tu cuenta y nadie puede iniciar sesión con ella.\n\n${details}\n\n${notYou}`,
    },
    new_device_sign_in: {
      subject: 'Nuevo inicio de sesión en {{application_name}}',
      body: `Tu cuenta se acaba de usar en un dispositivo en el que no se había usado antes.\n\n${details}\n\n[Abrir {{application_name}}]({{home_url}})\n\n> Si has sido tú, no tienes que hacer nada. Si no, cambia tu contraseña de inmediato y, en los ajustes de tu cuenta, en «Seguridad», cierra la sesión de este dispositivo.`,
    },
    account_locked: {
      subject: 'Tu cuenta de {{application_name}} está bloqueada',
      body: `Ha habido demasiados intentos fallidos de iniciar sesión en tu cuenta, por lo que está bloqueada. Podrás volver a iniciar sesión {{unlocks}}.\n\nEl último intento:\n${details}\n\n> Si no has sido tú, elige una contraseña nueva y larga cuando la cuenta se desbloquee.`,
    },
    passkey_added: {
      subject: 'Se ha añadido una llave de acceso a tu cuenta de {{application_name}}',
      body: `A partir de ahora se puede iniciar sesión en tu cuenta con la llave de acceso {{passkey_name}}.\n\n${details}\n\n${notYou}`,
    },
    passkey_removed: {
      subject: 'Se ha eliminado una llave de acceso de tu cuenta de {{application_name}}',
      body: `Ya no se puede iniciar sesión en tu cuenta con la llave de acceso {{passkey_name}}.\n\n${details}\n\n${notYou}`,
    },
    mfa_enabled: {
      subject: 'Se ha añadido un segundo paso a tu cuenta de {{application_name}}',
      body: `Al iniciar sesión ahora también se pide: {{method}}.\n\n${details}\n\n${notYou}`,
    },
    mfa_disabled: {
      subject: 'Se ha eliminado un segundo paso de tu cuenta de {{application_name}}',
      body: `Al iniciar sesión ya no se pide: {{method}}.\n\n${details}\n\n${notYou}`,
    },
    backup_codes_regenerated: {
      subject: 'Nuevos códigos de respaldo para tu cuenta de {{application_name}}',
      body: `Se han creado nuevos códigos de respaldo para tu cuenta. Los anteriores ya no sirven.\n\n${details}\n\n${notYou}`,
    },
    external_account_linked: {
      subject: '{{provider}} se ha conectado a tu cuenta de {{application_name}}',
      body: `A partir de ahora se puede iniciar sesión en tu cuenta con la cuenta de {{provider}} {{account}}.\n\n${details}\n\n> Si no has sido tú, elimínala en los ajustes de tu cuenta y cambia tu contraseña de inmediato.`,
    },
    external_account_removed: {
      subject: '{{provider}} se ha eliminado de tu cuenta de {{application_name}}',
      body: `Ya no se puede iniciar sesión en tu cuenta con la cuenta de {{provider}} {{account}}.\n\n${details}\n\n${notYou}`,
    },
    webhook_endpoint_disabled: {
      subject: 'Se ha desactivado un destino de webhooks de {{application_name}}',
      body: `Un destino no ha aceptado webhooks durante mucho tiempo, así que no recibirá más:\n\n{{url}}\n\nNo se ha perdido nada: actívalo de nuevo cuando funcione y recibirá lo ocurrido mientras tanto, en la medida en que se conserven los eventos.`,
    },
  },
  texts: {
    verification_code: '{{code}} es tu código para {{application_name}}. No lo compartas con nadie.',
    reset_password_code:
      '{{code}} es tu código para restablecer tu contraseña de {{application_name}}. No lo compartas con nadie.',
  },
  words: {
    unknownDevice: 'dispositivo desconocido',
    unknownPlace: 'lugar desconocido',
    unknown: 'desconocida',
    somebody: 'Alguien',
    unlockedForYou: 'en cuanto la hayan desbloqueado',
    methods: {
      totp: 'un código de una aplicación de autenticación',
      phone_code: 'un código por SMS',
      backup_code: 'un código de respaldo',
    },
    questions: '¿Preguntas?',
  },
}
