/**
 * Domains at which anybody has a mailbox, by their first label where a provider has one in many countries. A mailbox
 * there says nothing about who somebody works for.
 */
const everywhere = new Set(
  'gmail googlemail hotmail live msn outlook yahoo ymail rocketmail gmx yandex zoho'.split(' '),
)
const exact = new Set(
  `aol.com aim.com icloud.com me.com mac.com passport.com windowslive.com
  proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tuta.com tuta.io tutamail.com keemail.me
  fastmail.com fastmail.fm hey.com mail.com email.com usa.com post.com consultant.com hushmail.com hush.com inbox.com
  lycos.com rediffmail.com mail.ru bk.ru inbox.ru list.ru internet.ru rambler.ru lenta.ru ya.ru ukr.net i.ua meta.ua
  web.de freenet.de t-online.de arcor.de online.de posteo.de posteo.net mailbox.org 1und1.de vodafone.de
  orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr bbox.fr numericable.fr
  libero.it virgilio.it tiscali.it alice.it tin.it aruba.it
  btinternet.com ntlworld.com sky.com talktalk.net virginmedia.com blueyonder.co.uk tiscali.co.uk o2.co.uk
  comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net juno.com netzero.net
  optonline.net roadrunner.com windstream.net frontier.com centurylink.net rogers.com shaw.ca telus.net sympatico.ca
  bigpond.com bigpond.net.au optusnet.com.au iinet.net.au xtra.co.nz
  qq.com foxmail.com 163.com 126.com yeah.net 139.com 189.cn sina.com sina.cn sohu.com aliyun.com tom.com
  naver.com hanmail.net daum.net nate.com kakao.com docomo.ne.jp ezweb.ne.jp softbank.ne.jp nifty.com
  uol.com.br bol.com.br terra.com.br ig.com.br globo.com globomail.com telefonica.net terra.es
  wp.pl o2.pl onet.pl interia.pl op.pl poczta.onet.pl seznam.cz centrum.cz email.cz azet.sk freemail.hu citromail.hu
  abv.bg mail.bg telenet.be skynet.be ziggo.nl kpnmail.nl planet.nl xs4all.nl home.nl hetnet.nl bluewin.ch sunrise.ch
  telia.com spray.se online.no jubii.dk sapo.pt walla.co.il walla.com duck.com mozmail.com privaterelay.appleid.com
  relay.firefox.com simplelogin.com users.noreply.github.com`.split(/\s+/),
)

/** Whether anybody can have a mailbox at a domain. @param domain in lower case */
export function isCommonDomain(domain: string): boolean {
  const [first = '', ...rest] = domain.split('.')
  // `hotmail.fr` and `yahoo.co.uk`, but not `outlook.some-company.com`.
  const national = /^(com|net|org|[a-z]{2}|com?\.[a-z]{2}|ne\.jp)$/.test(rest.join('.'))
  return exact.has(domain) || (everywhere.has(first) && national)
}
