// Where the time goes: the stages against the course's budget.

import { bar, heading, made, shown, table } from '../dom.js';
import { percent, time, whole } from '../figures.js';

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

/** @param {StageFigures} row @param {number} most */
function stage({ stage: name, budget_ms: budget, typical_ms: typical, p95_ms: p95, within }, most) {
	const late = budget !== null && typical !== null && typical > budget;
	const lane = made('span', 'bars');
	if (budget) lane.append(bar('budget', 0, budget / most));
	lane.append(bar('far', 0, (p95 ?? 0) / most), bar('spent', 0, (typical ?? 0) / most));
	return made('tr', late ? 'late' : '', heading(NAMES[name] ?? name), made('td', 'lane', lane),
		made('td', late ? 'number bad' : 'number', time(typical)), made('td', 'number', time(p95)),
		made('td', 'number dim', budget === null ? '–' : time(budget)), made('td', 'number dim', percent(within)));
}

/** @param {HTMLElement} place @param {Day} day */
export function stages(place, { report }) {
	const { first_sound: first, stages: rows } = report;
	if (!first.turns) {
		shown(place, made('p', 'nothing', 'No turn was answered aloud in the last 24 hours.'));
		return;
	}
	const most = Math.max(...rows.flatMap((row) => [row.p95_ms ?? 0, row.budget_ms ?? 0]), 1);
	const total = Math.max(first.p95_ms ?? 0, first.budget_ms ?? 0, 1);
	shown(place, table(
		[['Stage', ''], ['from the last word on', 'lane'], ['typical', 'number'], ['95 %', 'number'], ['budget', 'number'], ['within it', 'number']],
		rows.map((row) => stage(row, most)),
		[stage({ ...first, stage: 'first_sound' }, total), made('tr', '', heading('Turns'), made('td', ''), made('td', 'number', whole(first.turns)), made('td', ''), made('td', ''), made('td', ''))],
	));
}
