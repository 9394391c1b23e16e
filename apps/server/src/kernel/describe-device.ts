export type Device = {
  browserName: string | null
  /** Major version. */
  browserVersion: string | null
  /** Operating system, or the device where its maker names it: `macOS`, `iPhone`. */
  deviceType: string | null
  isMobile: boolean
}

/** In this order: most browsers also carry the names of those that they want to be taken for. */
const browsers: [RegExp, string][] = [
  [/\bEdg(?:A|iOS)?\/(\d+)/, 'Edge'],
  [/\b(?:OPR|OPiOS|OPT)\/(\d+)/, 'Opera'],
  [/\bSamsungBrowser\/(\d+)/, 'Samsung Internet'],
  [/\bVivaldi\/(\d+)/, 'Vivaldi'],
  [/\bYaBrowser\/(\d+)/, 'Yandex Browser'],
  [/\bDuckDuckGo\/(\d+)/, 'DuckDuckGo'],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, 'Firefox'],
  [/\b(?:HeadlessChrome|Chrome|CriOS|Chromium)\/(\d+)/, 'Chrome'],
  [/\bVersion\/(\d+)[\d.]*(?: Mobile\/\S+)? Safari\//, 'Safari'],
]
const systems: [RegExp, string][] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMacintosh\b|\bMac OS X\b/, 'macOS'],
  [/\bLinux\b|\bX11\b/, 'Linux'],
]

/** As much of a user agent as a list of devices or a warning shows. What is not known is null. */
export function describeDevice(userAgent: string | null | undefined): Device {
  // A user agent is whatever somebody sent: as much of it as a real one has is looked at.
  const text = (userAgent ?? '').slice(0, 512)
  const browser = browsers.find(([pattern]) => pattern.test(text))
  return {
    browserName: browser?.[1] ?? null,
    browserVersion: (browser && text.match(browser[0])?.[1]) ?? null,
    deviceType: systems.find(([pattern]) => pattern.test(text))?.[1] ?? null,
    isMobile: /\bMobi|\bAndroid\b|\biPhone\b|\biPad\b/.test(text),
  }
}

/** A device in a line: `Chrome 140, macOS`; null when nothing is known about it. */
export function nameDevice(userAgent: string | null | undefined): string | null {
  const { browserName, browserVersion, deviceType } = describeDevice(userAgent)
  const browser = browserName && [browserName, browserVersion].filter(Boolean).join(' ')
  return [browser, deviceType].filter(Boolean).join(', ') || null
}
