// One answer's stages as bars against their budget: a table, so that it reads aloud as well as it looks.

import { bars, BUDGET_MS } from '../latency.js';

/** @param {number} ms */
const whole = (ms) => `${Math.round(ms)} ms`;

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} name of its class @param {(string | Node)[]} inside @returns {HTMLElementTagNameMap[T]}
 */
export function made(tag, name, ...inside) {
	const element = document.createElement(tag);
	element.className = name;
	element.append(...inside);
	return element;
}

/** @param {string} name @param {number} from 0-1 @param {number} share 0-1 */
function bar(name, from, share) {
	const element = made('i', name);
	element.style.setProperty('--from', from.toFixed(4));
	element.style.setProperty('--share', Math.max(0, share).toFixed(4));
	return element;
}

/** @param {Latency} latency */
export function waterfall(latency) {
	const { bars: rows, total } = bars(latency);
	const first = Math.min(0, ...rows.map((row) => row.start));
	const width = Math.max(total, ...rows.map((row) => row.start + Math.max(row.ms, row.budget ?? 0))) - first;
	const body = made('tbody', '', ...rows.map(({ label, start, ms, budget }) => {
		const late = budget !== null && budget > 0 && ms > budget;
		const lane = made('span', 'bars');
		if (budget) lane.append(bar('budget', (start - first) / width, budget / width));
		lane.append(bar('spent', (start - first) / width, ms / width));
		return made('tr', late ? 'late' : '', header(label), made('td', 'lane', lane), made('td', 'ms', whole(ms)),
			made('td', 'ms of', budget === null ? '–' : whole(budget)));
	}));
	const usd = latency.usage?.cost_usd;
	const cost = usd ? `$${usd.toPrecision(2)}` : '';
	const foot = made('tr', '', header('First sound'), made('td', 'lane', cost), made('td', 'ms', whole(total)), made('td', 'ms of', whole(BUDGET_MS)));
	const head = made('tr', '', ...['Stage', 'after you stopped', 'took', 'budget'].map((text, i) => made('th', i > 1 ? 'ms' : i ? 'lane' : '', text)));
	const table = made('table', 'waterfall', made('thead', '', head), body, made('tfoot', '', foot));
	return made('section', '', made('h2', '', 'Where the time went'), table, ...thrownAway(latency.usage?.discarded));
}

/**
 * What was prepared while it was open whether you were done, and not used. It is part of the cost.
 * @param {{ audio_s: number, output_tokens: number, characters: number } | undefined} used
 */
function thrownAway(used) {
	if (!used) return [];
	const parts = [[used.audio_s, 's of sound recognised'], [used.output_tokens, 'tokens written'], [used.characters, 'characters voiced']];
	const said = parts.filter(([amount]) => amount).map(([amount, unit]) => `${Math.round(Number(amount) * 10) / 10} ${unit}`);
	return said.length ? [made('p', 'thrown', `Prepared and thrown away: ${said.join(', ')}.`)] : [];
}

/** @param {string} text */
function header(text) {
	const cell = made('th', '', text);
	cell.scope = 'row';
	return cell;
}
