/** Hues that keep white letters readable. */
const hues = [231, 262, 292, 330, 351, 12, 160, 174, 189, 201]

/**
 * A picture for whoever has none: initials on a colour, as an SVG inside the URL, so that it needs no request and
 * works offline. The components take `avatar_placeholder` in a URL as "no picture of their own".
 */
export function defaultImageUrl(seed: string, name: string): string {
  const known = drawn.get(`${seed} ${name}`)
  if (known) return known
  // The same few people are shown over and over; it need not be everybody.
  if (drawn.size >= maxDrawn) drawn.clear()
  const url = draw(seed, name)
  drawn.set(`${seed} ${name}`, url)
  return url
}

const drawn = new Map<string, string>()
const maxDrawn = 5000

function draw(seed: string, name: string): string {
  const initial = [...name.trim().toUpperCase()].find((character) => /[\p{L}\p{N}]/u.test(character)) ?? '?'
  const hue = hues[[...seed].reduce((sum, character) => sum + character.charCodeAt(0), 0) % hues.length]
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" id="avatar_placeholder"><rect width="64" height="64" fill="hsl(${hue} 55% 42%)"/><text x="32" y="43" text-anchor="middle" font-family="system-ui,sans-serif" font-size="30" font-weight="600" fill="#fff">${initial}</text></svg>`
  return `data:image/svg+xml,${encodeURIComponent(svg)}`
}

/** A stored picture, as the browser SDK reads it. */
export function presentImage({ imageId, imageUrl }: { imageId: string | null; imageUrl: string | null }) {
  return { object: 'image' as const, id: imageId, name: imageId, public_url: imageUrl }
}
