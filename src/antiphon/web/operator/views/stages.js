// Where the time goes: the stages against the course's budget.

import { bar, heading, made, shown, table } from '../dom.js';
import { percentWithin, time, whole } from '../figures.js';

/** @type {Record<string, string>} */
export const NAMES = {
	capture: 'Capture',
	asr: 'Recognise',
	decide: 'Decide',
	llm: 'Think',
	clause: 'First clause',
	tts: 'Voice',
	hold: 'Held until sure',
	engine: 'Ours, between',
	first_sound: 'First sound',
};

/** @param {StageFigures} row @param {number} begins ms after the last word @param {number} most ms in the whole lane */
function stage({ stage: name, budget_ms: budget, typical_ms: typical, p95_ms: p95, within, late }, begins, most) {
	const lane = made('span', 'bars'), from = begins / most;
	/** @param {number | null} ms */
	const share = (ms) => Math.min((ms ?? 0) / most, 1 - from);
	if (budget) lane.append(bar('budget', from, share(budget)));
	lane.append(bar('far', from, share(p95)), bar('spent', from, share(typical)));
	return made('tr', late ? 'late' : '', heading(NAMES[name] ?? name), made('td', 'lane', lane),
		made('td', late ? 'number bad' : 'number', time(typical)), made('td', 'number', time(p95)),
		made('td', 'number dim', budget === null ? '–' : time(budget)), made('td', 'number dim', percentWithin(within)));
}

/** @param {HTMLElement} place @param {Day} day */
export function stages(place, { report }) {
	const { first_sound: first, stages: rows } = report;
	if (!first.turns) {
		shown(place, made('p', 'nothing', 'No turn was answered aloud in the last 24 hours.'));
		return;
	}
	// One scale for all: each begins where those before it typically end. (Typical stages add up to the typical whole
	// only nearly.)
	let at = 0;
	const begins = rows.map((row) => (at += row.typical_ms ?? 0) - (row.typical_ms ?? 0));
	const most = Math.max(first.p95_ms ?? 0, first.budget_ms ?? 0, at, 1);
	shown(place, table(
		[['Stage', ''], ['from the last word on', 'lane'], ['typical', 'number'], ['95 %', 'number'], ['budget', 'number'], ['within it', 'number']],
		rows.map((row, number) => stage(row, begins[number], most)),
		[stage({ ...first, stage: 'first_sound' }, 0, most), made('tr', '', heading('Turns'), made('td', ''), made('td', 'number', whole(first.turns)), made('td', ''), made('td', ''), made('td', ''))],
	));
}
