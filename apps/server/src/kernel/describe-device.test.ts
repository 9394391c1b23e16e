import { expect, test } from 'bun:test'
import { describeDevice, nameDevice } from './describe-device.ts'

const webkit = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const cases: [string, string, boolean][] = [
  [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${webkit} Chrome/140.0.0.0 Safari/537.36`, 'Chrome 140, Windows', false],
  [
    `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${webkit} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.1.2`,
    'Edge 140, Windows',
    false,
  ],
  [
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15',
    'Safari 18, macOS',
    false,
  ],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1',
    'Safari 18, iPhone',
    true,
  ],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139.0.7258.76 Mobile/15E148 Safari/604.1',
    'Chrome 139, iPhone',
    true,
  ],
  ['Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0', 'Firefox 143, Linux', false],
  [
    `Mozilla/5.0 (Linux; Android 15; SM-S921B) ${webkit} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36`,
    'Samsung Internet 28, Android',
    true,
  ],
  [`Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${webkit} Chrome/140.0.0.0 Safari/537.36`, 'Chrome 140, ChromeOS', false],
]

test('names the browser, its version and the device of common user agents', () => {
  for (const [userAgent, name, mobile] of cases) {
    expect(nameDevice(userAgent)).toBe(name)
    expect(describeDevice(userAgent).isMobile).toBe(mobile)
  }
})

test('knows what it does not know', () => {
  for (const userAgent of [null, undefined, '', 'curl/8.5.0', '<script>alert(1)</script>', 'x'.repeat(100_000)]) {
    expect(nameDevice(userAgent)).toBeNull()
    expect(describeDevice(userAgent)).toEqual({
      browserName: null,
      browserVersion: null,
      deviceType: null,
      isMobile: false,
    })
  }
})
