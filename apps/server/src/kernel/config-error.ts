/** A problem of the operator's making: printed without a stack. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}
