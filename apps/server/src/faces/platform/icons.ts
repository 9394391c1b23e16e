import { knownProviders } from '../../domains/connections/index.ts'

/** Colours by which people know providers; the letter says the rest. */
const colours: Record<string, string> = {
  google: '#4285f4',
  microsoft: '#2f2f2f',
  apple: '#111111',
  github: '#24292f',
  gitlab: '#e24329',
  bitbucket: '#2684ff',
  facebook: '#0866ff',
  linkedin: '#0a66c2',
  discord: '#5865f2',
  slack: '#611f69',
  twitch: '#9146ff',
  x: '#0f1419',
  dropbox: '#0061ff',
  notion: '#191919',
}

/** An icon of our own: a letter on a provider's colour, and no trademark. */
export function providerIcon(name: string): string {
  const key = name.replace(/_oidc$/, '')
  const provider = knownProviders.find((p) => p.key === name || p.key === key || p.key.replace(/_oidc$/, '') === key)
  const [word = ''] = (provider?.name ?? key).split(/[ _]/)
  // GitHub and GitLab stand beside Google.
  const letters = word.match(/[A-Z]/g)?.slice(0, 2).join('') ?? word.slice(0, 1).toUpperCase()
  const size = letters.length > 1 ? 14 : 18
  const colour = colours[key] ?? '#71717a'
  // The letter is cut out: some icons are used as masks, where colours say nothing.
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><mask id="m"><rect width="32" height="32" fill="#fff"/><text x="16" y="${16 + size * 0.36}" text-anchor="middle" font-family="system-ui,sans-serif" font-size="${size}" font-weight="700" fill="#000">${letters}</text></mask><circle cx="16" cy="16" r="16" fill="${colour}" mask="url(#m)"/></svg>`
}
