// Recent turns, newest first; each opens its waterfall and, when the operator wants them kept, its words.

import { bar, heading, made, table } from '../dom.js';
import { clock, money, time } from '../figures.js';
import { NAMES } from './stages.js';

/** Rows on the page; the server keeps 200. */
const KEEP = 25;

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
	const budget = Object.values(budgets).reduce((sum, ms) => sum + ms, 0), late = budget > 0 && (latency.first_sound ?? 0) > budget;
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

/** @param {Turn} turn @param {() => Record<string, number>} budgets */
function entry(turn, budgets) {
	const summary = made('summary', '', made('span', 'dim', clock(turn.ended_s)), made('span', '', time(turn.latency_ms.first_sound)),
		made('span', 'who dim', turn.asked || `${turn.session} ${turn.turn_id}`), outcome(turn), made('span', 'cost dim', money(turn.cost_usd)));
	const details = made('details', '', summary);
	details.dataset.turn = name(turn);
	details.dataset.ended = String(turn.ended_s);
	// What nobody opens is never made.
	details.addEventListener('toggle', () => { if (details.open && details.children.length === 1) details.append(inside(turn, budgets())); });
	return details;
}

/** A turn that is taken up again after it was cut short ends twice. @param {Turn} turn */
const name = ({ session, turn_id: turn, ended_s: ended }) => `${session} ${turn} ${ended}`;

/** New turns stand where they belong by their time, the newest on top; those that are open stay open.
 * @param {HTMLElement} place @param {Turn[]} turns newest first
 * @param {() => Record<string, number>} budgets ms, of the stages that have one */
export function turns(place, turns, budgets) {
	const shown = new Set([...place.children].map((child) => /** @type {HTMLElement} */ (child).dataset.turn));
	const fresh = turns.filter((turn) => !shown.has(name(turn)));
	if (!fresh.length) return;
	place.querySelector('.nothing')?.remove();
	for (const turn of fresh.reverse()) {
		const older = [...place.children].find((child) => Number(/** @type {HTMLElement} */ (child).dataset.ended) <= turn.ended_s);
		place.insertBefore(entry(turn, budgets), older ?? null);
	}
	while (place.children.length > KEEP) place.lastElementChild?.remove();
}
