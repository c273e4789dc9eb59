// Wiring: asks the server every two seconds while somebody looks, and shows what it says.

import * as api from './api.js';
import { found } from './dom.js';
import { KEPT, STEP, merged, since } from './recent.js';
import { charts } from './views/charts.js';
import { errors, providers } from './views/providers.js';
import { sessions } from './views/sessions.js';
import { stages } from './views/stages.js';
import { turns } from './views/turns.js';
import { tiles, verdict } from './views/well.js';

/** ms between two questions; the day's figures change slowly. */
const [EVERY, DAY_EVERY] = [2000, 60_000];

/** Kept by the browser while its cookie may hold; no secret. */
const LET_IN = 'antiphon-operator';

const login = /** @type {HTMLFormElement} */ (found('login'));
const token = /** @type {HTMLInputElement} */ (found('token'));
const ending = /** @type {HTMLDialogElement} */ (found('ending'));
const more = found('more');
const drawDay = charts(found('charts'));

/** Which turns are wanted, and for which of such wishes the server was asked. */
let wanted = { only: '', most: STEP };
/** @type {typeof wanted | null} */
let asked = null;
/** The answer, newest first. @type {Turn[]} */
let known = [];
/** Seconds since 1970: when the newest turn had ended when the server was asked. */
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
		errors(found('errors'), now.last_errors, now.at);
		found('turns-note').textContent = now.transcripts
			? 'With what was said: ANTIPHON_TRANSCRIPTS is on.'
			: 'What was said is not kept (ANTIPHON_TRANSCRIPTS).';
		await Promise.all([lookAtSessions(), lookAtDay()]);
		await lookAtTurns(now);
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

/** @param {Now} now */
async function lookAtTurns({ at, last_turn_s: newest }) {
	const wish = wanted, anew = asked !== wish;
	if (anew || newest !== lastTurn) {
		const { turns: fresh, more: rest } = await api.turns(anew ? 0 : since(newest, lastTurn), wish.only, wish.most);
		// Another choice was made meanwhile, and is being asked for.
		if (wish !== wanted) return;
		const all = merged(anew ? [] : known, fresh, at);
		known = all.slice(0, wish.most);
		more.hidden = wish.most >= KEPT || !(anew ? rest : !more.hidden || all.length > wish.most);
		[asked, lastTurn] = [wish, newest];
	}
	turns(found('turns'), known, at, budgets, wish.only ? 'None of those that are kept.' : 'None since the start.');
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

found('only').addEventListener('change', (event) => {
	wanted = { only: /** @type {HTMLInputElement} */ (event.target).value, most: STEP };
	look();
});

more.addEventListener('click', async () => {
	const shown = known.length;
	wanted = { ...wanted, most: wanted.most + STEP };
	await look();
	// Whoever goes by keys, or by ear, goes on where the list went on.
	/** @type {HTMLElement | null} */ (found('turns').querySelectorAll('summary')[shown])?.focus({ preventScroll: true });
});

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
