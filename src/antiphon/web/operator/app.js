// Wiring: asks the server every two seconds while somebody looks, and shows what it says.

import * as api from './api.js';
import { found, made } from './dom.js';
import { charts } from './views/charts.js';
import { errors, providers } from './views/providers.js';
import { sessions } from './views/sessions.js';
import { stages } from './views/stages.js';
import { turns } from './views/turns.js';
import { tiles, verdict } from './views/well.js';

/** ms between two questions; the day's figures change slowly. */
const [EVERY, DAY_EVERY] = [2000, 60_000];

/** Seconds by which another replica's turns may come later than ours. */
const TOLD_LATE = 15;

/** Kept by the browser while its cookie may hold; no secret. */
const LET_IN = 'antiphon-operator';

const login = /** @type {HTMLFormElement} */ (found('login'));
const token = /** @type {HTMLInputElement} */ (found('token'));
const ending = /** @type {HTMLDialogElement} */ (found('ending'));
const drawDay = charts(found('charts'));

/** Seconds since 1970: when the newest turn that is shown ended. */
let lastTurn = 0;
let dayAt = -Infinity;
/** ms, of the stages that have one. @type {Record<string, number>} */
let budgets = {};
let toldAt = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {boolean} inside whether this browser is an operator's */
function show(inside) {
	login.hidden = inside;
	found('board').hidden = !inside;
	found('leave').hidden = !inside;
	if (!inside) token.focus();
}

async function look() {
	clearTimeout(timer);
	// Whoever was never let in is asked for the token first: a refusal is a line in somebody's log.
	if (!localStorage.getItem(LET_IN)) {
		show(false);
		return;
	}
	try {
		const now = await api.now();
		show(true);
		verdict(found('verdict'), now);
		tiles(found('tiles'), now);
		providers(found('providers'), now.providers);
		errors(found('errors'), now.last_errors);
		found('turns-note').textContent = now.transcripts
			? 'With what was said: ANTIPHON_TRANSCRIPTS is on.'
			: 'What was said is not kept (ANTIPHON_TRANSCRIPTS).';
		await Promise.all([lookAtSessions(), lookAtTurns(now.last_turn_s), lookAtDay()]);
		toldAt = performance.now();
	} catch (problem) {
		if (problem instanceof api.NotLetIn) {
			localStorage.removeItem(LET_IN);
			show(false);
			if (token.value) found('login-problem').textContent = problem.message;
			return;
		}
	}
	tellAge();
	timer = setTimeout(look, EVERY);
}

async function lookAtSessions() {
	sessions(found('live'), (await api.sessions()).sessions, end);
}

/** @param {number} newest */
async function lookAtTurns(newest) {
	if (newest > lastTurn) {
		const { turns: fresh } = await api.turns(lastTurn - TOLD_LATE);
		lastTurn = newest;
		turns(found('turns'), fresh, () => budgets);
	}
	if (!found('turns').children.length) found('turns').replaceChildren(made('p', 'nothing', 'None since the start.'));
}

async function lookAtDay() {
	if (performance.now() - dayAt < DAY_EVERY) return;
	const day = await api.day();
	dayAt = performance.now();
	budgets = day.budget_ms;
	drawDay(day);
	stages(found('stages'), day);
}

/** Old figures must not pass for new ones. */
function tellAge() {
	const age = Math.round((performance.now() - toldAt) / 1000);
	const old = age > (3 * EVERY) / 1000;
	const text = !toldAt ? 'The server does not answer' : old ? `No answer for ${age} s` : 'Live';
	const place = found('freshness');
	if (place.textContent !== text) place.textContent = text;
	place.classList.toggle('old', old || !toldAt);
}

/** @param {string} id */
function end(id) {
	found('ending-title').textContent = `End conversation ${id}?`;
	ending.returnValue = '';
	ending.addEventListener('close', async () => {
		if (ending.returnValue !== 'end') return;
		await api.end(id).catch((problem) => { found('freshness').textContent = String(problem.message); });
		look();
	}, { once: true });
	ending.showModal();
}

login.addEventListener('submit', async (event) => {
	event.preventDefault();
	found('login-problem').textContent = '';
	try {
		await api.logIn(token.value);
		localStorage.setItem(LET_IN, 'yes');
		token.value = '';
		look();
	} catch (problem) {
		found('login-problem').textContent = problem instanceof Error ? problem.message : String(problem);
	}
});

found('leave').addEventListener('click', async () => {
	clearTimeout(timer);
	localStorage.removeItem(LET_IN);
	await api.logOut().catch(() => {});
	found('freshness').textContent = '';
	show(false);
});

document.addEventListener('visibilitychange', () => {
	if (document.hidden) clearTimeout(timer);
	else look();
});

look();
