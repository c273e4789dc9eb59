// Is it well? What needs a person, in sentences. Pure.

import { money, percent, time } from './figures.js';

/** Fewer turns or requests than this say nothing about a share of them. */
const ENOUGH = 5;
/** More of them failing than this is more than bad luck. */
const MANY = 0.05;
/** From here on a budget is told of. */
const BUDGET_NEAR = 0.8;
/** Entries that wait for the ledger; a busy server has some hundreds under way. */
const MANY_WAITING = 1000;
/** ms. A loop this late is heard as stutter. */
const LATE_LOOP = 100;

/** More than one answer in twenty starts later than it may. @param {Now} now */
export const late = ({ first_sound: { turns, within } }) => turns >= ENOUGH && within !== null && within < 0.95;

/** Whether so many failed that somebody should look. @param {number} failed @param {number} all */
export const many = (failed, all) => all >= ENOUGH && failed / all > MANY;

/** @param {Now} now @returns {string[]} empty when all is well */
export function troubles(now) {
	const found = [];
	if (!now.ready) found.push('It is not ready: callers are turned away.');
	for (const { provider, breaker, last_error } of now.providers) {
		if (breaker === 'open') found.push(`${provider} is not asked any more: it keeps failing${last_error ? ` (${last_error})` : ''}.`);
		if (breaker === 'half_open') found.push(`${provider} failed and is being tried again.`);
	}
	for (const [failed, all, what] of /** @type {[number, number, string][]} */ ([
		[now.failed_calls, now.provider_calls, 'requests to providers failed'], [now.failed_turns, now.turns, 'turns ended with an error'],
	])) {
		if (many(failed, all)) found.push(`${percent(failed / all)} of the ${what} in the last ${now.minutes} minutes.`);
	}
	if (late(now)) found.push(`One answer in twenty starts later than ${time(now.first_sound.p95_ms)}; the budget is ${time(now.budget_ms)}.`);
	const { now: live, max } = now.sessions;
	if (max && live >= max) found.push(`All ${max} conversations are taken: callers are turned away.`);
	const { today_usd: spent, budget_usd: budget, degraded, unpriced } = now.cost;
	if (budget && spent >= budget) found.push(`The budget of ${money(budget)} is spent${degraded ? ': cheaper models go on until midnight' : ''}.`);
	else if (budget && spent >= budget * BUDGET_NEAR) found.push(`${percent(spent / budget)} of today’s budget is spent.`);
	const { waiting = 0, lost = 0, alerts_failed: untold = 0 } = now.ledger;
	if (waiting > MANY_WAITING) found.push(`The ledger is not written: ${waiting} entries wait in memory.`);
	if (lost) found.push(`${lost} entries of the ledger were given up: the cost is higher than it says.`);
	if (untold) found.push(`${untold} alerts never got through to the webhook.`);
	if (!now.whole) found.push('The store is away: these are the figures of one replica.');
	if (unpriced) found.push(`${unpriced} requests have no price: the cost is higher than shown.`);
	if (now.lag_ms !== null && now.lag_ms > LATE_LOOP) found.push(`The server is ${time(now.lag_ms)} behind: it has too much to do.`);
	return found;
}
