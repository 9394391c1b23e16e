import type { SecondFactorMethod, TemplateName, TextTemplateName } from '../catalog.ts'

/**
 * The text of an email before it is filled in. Variables stand as `{{name}}`. The body is made of blocks with empty lines
 * between them: `{{code}}` alone is shown large, `[label]({{url}})` alone is a button, a block that begins with `> ` is
 * small print, and anything else is a paragraph.
 */
export type EmailText = { subject: string; body: string }

/** Everything that one language says. */
export type Language = {
  emails: { [T in TemplateName]: EmailText }
  texts: { [T in TextTemplateName]: string }
  words: {
    unknownDevice: string
    unknownPlace: string
    unknown: string
    /** Who invited, when that is not known. */
    somebody: string
    /** When a lock ends that an operator has to lift; follows the sentence's verb. */
    unlockedForYou: string
    methods: Record<SecondFactorMethod, string>
    questions: string
  }
}
