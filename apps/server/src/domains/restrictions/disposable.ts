import { createRequire } from 'node:module'

let lists: { exact: Set<string>; wildcard: Set<string> } | undefined

/**
 * Whether a domain hands out mailboxes for minutes. From an offline list (`disposable-email-domains`, 121,000 domains)
 * that is read when it is first asked for.
 *
 * @param domain in lower case
 */
export function isDisposableDomain(domain: string): boolean {
  lists ??= readLists()
  if (lists.exact.has(domain)) return true
  const labels = domain.split('.')
  return labels.some((_, i) => i < labels.length - 1 && lists?.wildcard.has(labels.slice(i).join('.')))
}

function readLists() {
  const require = createRequire(import.meta.url)
  return {
    exact: new Set<string>(require('disposable-email-domains/index.json')),
    wildcard: new Set<string>(require('disposable-email-domains/wildcard.json')),
  }
}
