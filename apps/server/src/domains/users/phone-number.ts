import { parsePhoneNumberFromString } from 'libphonenumber-js/max'
import { UsherError } from '../../kernel/errors.ts'
import type { Instance } from '../instances/index.ts'

/**
 * Countries (ISO 3166) to which no text is sent unless the instance names them: their operators are those that
 * pumping most often pays, and a flood of codes to them is paid for by whoever runs this server.
 */
const costlyCountries = new Set(
  'AF AO AZ BD BF BI BJ BY CD CF CG CI CM CU DJ DZ EG ER ET GA GM GN GW HT ID IQ IR JO KG KH KM KP LA LB LK LR LY MG ML MM MR MV MW MZ NE NG NP OM PK PS RU RW SD SL SN SO SS SY TD TG TJ TM TN UG UZ VN VU YE ZM ZW'.split(
    ' ',
  ),
)

/** Kinds of numbers that cost the caller extra or belong to no person. */
const refusedTypes = new Set(['PREMIUM_RATE', 'SHARED_COST', 'TOLL_FREE', 'UAN', 'VOICEMAIL', 'PAGER'])

/** Numbers that North America keeps for fiction, which the SDKs' users know as test numbers. */
const testPattern = /^\+1\d{3}55501\d{2}$/

/** Whether a number takes the known test code and gets no text: fictional ones, in development instances. */
export function isTestPhoneNumber(instance: Instance, phoneNumber: string): boolean {
  return instance.environment === 'development' && testPattern.test(phoneNumber)
}

/**
 * One phone number in E.164. A number has to name its country (`+`), exist in its country's numbering plan and belong
 * to a person rather than to a service, and its country has to be one that the instance sends to.
 *
 * @param value as it came over the wire, of any type
 * @param param name of the parameter at fault
 * @throws {UsherError} `form_param_format_invalid` or `unsupported_country_code`
 */
export function parsePhoneNumber(instance: Instance, value: unknown, param = 'phone_number'): string {
  const text = typeof value === 'string' ? value.trim() : ''
  const plain = text.replace(/[\s().-]/g, '')
  if (isTestPhoneNumber(instance, plain)) return plain
  const number = /^\+\d{6,15}$/.test(plain) ? parsePhoneNumberFromString(plain) : undefined
  if (!number?.isValid() || refusedTypes.has(number.getType() ?? ''))
    throw new UsherError('form_param_format_invalid', 'This is not a valid phone number.', {
      param,
      longMessage: 'Phone numbers are written with a country code, as in +1 415 555 2671.',
    })
  if (!isServedCountry(instance, number.country))
    throw new UsherError('unsupported_country_code', 'Phone numbers of this country are not supported.', {
      param,
      meta: { alpha2_code: number.country ?? null, country_code: number.countryCallingCode },
    })
  return number.number
}

/** @param country ISO 3166; undefined for numbers of no country, such as satellite phones */
function isServedCountry(instance: Instance, country: string | undefined): boolean {
  const { countries } = instance.settings.phoneNumber
  if (country === undefined) return false
  return countries.length > 0 ? countries.includes(country) : !costlyCountries.has(country)
}
