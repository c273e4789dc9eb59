// Providers: what they did today, the state of their breakers, and what went wrong last.

import { heading, made, shown, table } from '../dom.js';
import { moment, money, time, whole } from '../figures.js';
import { many } from '../verdict.js';

const KINDS = { asr: 'hears', llm: 'thinks', tts: 'speaks' };
const BREAKERS = { '': '–', closed: 'asked', half_open: 'being tried', open: 'not asked' };

/** @param {Record<string, number>} errors */
const causes = (errors) => Object.entries(errors).map(([cause, count]) => `${cause.replaceAll('_', ' ')} ${whole(count)}`).join(', ');

/** @param {HTMLElement} place @param {ProviderFigures[]} providers */
export function providers(place, providers) {
	if (!providers.length) {
		shown(place, made('p', 'nothing', 'None was asked today.'));
		return;
	}
	const rows = providers.map((row) => made('tr', '', heading(row.provider), made('td', 'dim', KINDS[row.kind] ?? row.kind),
		made('td', '', made('span', `breaker ${row.breaker}`, BREAKERS[row.breaker])), made('td', 'number', whole(row.calls)),
		made('td', many(row.failed, row.calls) ? 'number bad' : 'number', whole(row.failed)), made('td', 'number', time(row.first_ms)),
		made('td', 'number', row.unpriced ? 'unknown' : money(row.cost_usd)), made('td', 'dim wrap', causes(row.errors))));
	shown(place, table(
		[['Provider', ''], ['what for', ''], ['state', ''], ['requests', 'number'], ['failed', 'number'], ['first result', 'number'], ['cost', 'number'], ['why', '']],
		rows,
	));
}

/** @param {HTMLElement} place @param {Now['last_errors']} errors @param {number} now seconds since 1970 */
export function errors(place, errors, now) {
	if (!errors.length) {
		shown(place, made('p', 'nothing', 'Nothing since the start.'));
		return;
	}
	const rows = errors.slice(0, 6).map(({ at_s: at, what, cause }) =>
		made('tr', '', made('td', 'dim', moment(at, now)), heading(what || 'a caller was told'), made('td', '', cause.replaceAll('_', ' '))));
	shown(place, table([['at', ''], ['who', ''], ['why', '']], rows));
}
