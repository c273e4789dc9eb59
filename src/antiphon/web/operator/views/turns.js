// Recent turns, newest first; each opens its waterfall and, when the operator wants them kept, its words.

import { bar, heading, made, shown, table } from '../dom.js';
import { moment, money, time } from '../figures.js';
import { name } from '../recent.js';
import { NAMES } from './stages.js';

/** @param {Turn} turn */
function outcome({ error, interrupted, latency_ms: latency }) {
	if (error) return made('span', 'outcome bad', error.replaceAll('_', ' '));
	if (!interrupted) return made('span', 'outcome');
	return made('span', 'outcome dim', 'first_sound' in latency ? 'cut short' : 'taken back');
}

/** Red are the stages that made a turn late, not those of a turn that was in time all the same.
 * @param {Turn} turn @param {Record<string, number>} budgets ms, of the stages that have one */
function waterfall({ stages, latency_ms: latency }, budgets) {
	const first = Math.min(0, ...stages.map(({ start_ms }) => start_ms));
	const ends = stages.map(({ name, start_ms: start, end_ms: end }) => Math.max(end, start + (budgets[name] ?? 0)));
	const budget = Object.values(budgets).reduce((sum, ms) => sum + ms, 0), late = (latency.first_sound ?? 0) > budget;
	const last = Math.max(latency.first_sound ?? 0, ...ends, first + 1);
	/** @param {number} ms */
	const share = (ms) => ms / (last - first);
	const rows = stages.map(({ name, start_ms: start, end_ms: end }) => {
		const may = budgets[name], over = late && may !== undefined && end - start > may;
		const lane = made('span', 'bars');
		if (may) lane.append(bar('budget', share(start - first), share(may)));
		lane.append(bar('spent', share(start - first), share(end - start)));
		return made('tr', over ? 'late' : '', heading(NAMES[name] ?? name, 'dim'), made('td', 'lane', lane),
			made('td', over ? 'number bad' : 'number', time(end - start)), made('td', 'number dim', may === undefined ? '–' : time(may)));
	});
	const foot = made('tr', '', heading('First sound'), made('td', ''), made('td', late ? 'number bad' : 'number', time(latency.first_sound)), made('td', 'number dim', time(budget)));
	return table([['Stage', ''], ['from the last word on', 'lane'], ['took', 'number'], ['budget', 'number']], rows, [foot]);
}

/** @param {Turn} turn @param {Record<string, number>} budgets */
function inside(turn, budgets) {
	const parts = [];
	if (turn.asked || turn.answered) {
		parts.push(made('dl', 'words', made('dt', '', 'Asked'), made('dd', '', turn.asked || '–'), made('dt', '', 'Answered'), made('dd', '', turn.answered || '–')));
	}
	if (turn.stages.length) parts.push(waterfall(turn, budgets));
	else parts.push(made('p', 'dim', 'It was not answered aloud.'));
	const providers = Object.values(turn.providers).join(' · ');
	parts.push(made('p', 'note', [money(turn.cost_usd), providers, turn.trace_id && `trace ${turn.trace_id}`].filter(Boolean).join(' · ')));
	return made('div', 'inside', ...parts);
}

/** @param {Turn} turn @param {Record<string, number>} budgets */
function entry(turn, budgets) {
	const summary = made('summary', '', made('time', 'dim'), made('span', '', time(turn.latency_ms.first_sound)),
		made('span', 'who dim', turn.asked || `${turn.session} ${turn.turn_id}`), outcome(turn), made('span', 'cost dim', money(turn.cost_usd)));
	const details = made('details', '', summary);
	details.dataset.turn = name(turn);
	/** @type {HTMLTimeElement} */ (summary.firstElementChild).dateTime = new Date(turn.ended_s * 1000).toISOString();
	// What nobody opens is never made.
	details.addEventListener('toggle', () => { if (details.open && details.children.length === 1) details.append(inside(turn, budgets)); });
	return details;
}

/** Those that are there already stay, open as they are.
 * @param {HTMLElement} place @param {Turn[]} turns in their order @param {number} now seconds since 1970
 * @param {Record<string, number>} budgets ms, of the stages that have one @param {string} none what is said when there is none */
export function turns(place, turns, now, budgets, none) {
	const there = new Map([...place.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.turn, child]));
	const wanted = turns.map((turn) => there.get(name(turn)) ?? entry(turn, budgets));
	if (!wanted.length) {
		shown(place, made('p', 'nothing', none));
		return;
	}
	for (const child of [...place.children]) if (!wanted.includes(child)) child.remove();
	wanted.forEach((child, number) => {
		if (place.children[number] !== child) place.insertBefore(child, place.children[number] ?? null);
		const at = /** @type {HTMLElement} */ (child.querySelector('time')), text = moment(turns[number].ended_s, now);
		if (at.textContent !== text) at.textContent = text;
	});
}
