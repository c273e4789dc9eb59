// Is it well? The sentences and the four figures at the top.

import { made } from '../dom.js';
import { length, money, percent, time, whole } from '../figures.js';
import { late, many, troubles } from '../verdict.js';

/** @param {HTMLElement} place @param {Now} now */
export function verdict(place, now) {
	const found = troubles(now);
	const lines = found.length ? found.map((text) => made('li', 'bad', text)) : [made('li', '', 'All is well.')];
	if (place.textContent !== lines.map((line) => line.textContent).join('')) place.replaceChildren(...lines);
}

/** @param {string} name @param {string} figure @param {string} note @param {boolean} bad @param {number | null} share */
function tile(name, figure, note, bad, share = null) {
	const box = made('div', bad ? 'tile bad' : 'tile', made('dt', '', name), made('dd', '', figure), made('dd', '', note));
	if (share !== null) {
		const filling = made('dd', 'filling', made('i', ''));
		filling.style.setProperty('--share', Math.min(1, share).toFixed(3));
		filling.setAttribute('aria-hidden', 'true');
		box.append(filling);
	}
	return box;
}

/** @param {HTMLElement} place @param {Now} now */
export function tiles(place, now) {
	const { sessions, first_sound: first, cost } = now;
	const span = length(now.minutes * 60).replace(' 00 s', '');
	const wasted = cost.wasted_usd ? `, ${money(cost.wasted_usd)} of it thrown away` : '';
	const share = cost.budget_usd ? cost.today_usd / cost.budget_usd : null;
	const boxes = [
		tile('Conversations', `${sessions.now}`, `of ${whole(sessions.max)} at most${now.replicas > 1 ? `, at ${now.replicas} replicas` : ''}`, sessions.max > 0 && sessions.now >= sessions.max),
		tile('First sound, typical', time(first.p50_ms), `95 % within ${time(first.p95_ms)} · ${whole(first.turns)} turns in ${span}`, late(now)),
		tile('Failed turns', whole(now.failed_turns), `of ${whole(now.turns)} in ${span} · ${whole(now.failed_calls)} of ${whole(now.provider_calls)} requests failed`, many(now.failed_turns, now.turns)),
		tile('Cost today', money(cost.today_usd), (cost.budget_usd ? `of ${money(cost.budget_usd)} (${percent(share)})` : 'no budget is set') + wasted, share !== null && share >= 0.8, share),
	];
	const all = made('div', '', ...boxes);
	if (place.textContent !== all.textContent) place.replaceChildren(...boxes);
}
