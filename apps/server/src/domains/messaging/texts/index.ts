import { de } from './de.ts'
import { en } from './en.ts'
import { es } from './es.ts'
import { fr } from './fr.ts'
import type { Language } from './language.ts'

export type { EmailText, Language } from './language.ts'

/** The languages that ship, by their BCP 47 language subtag. */
export const languages: Record<string, Language> = { en, de, es, fr }

/** What is said where nothing better is known. */
export const defaultLanguage = 'en'
