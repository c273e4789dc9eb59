import assert from 'node:assert/strict';
import { test } from 'node:test';

import { length, money, moment, moneyTicks, percent, percentWithin, time, whole } from '../../src/antiphon/web/operator/figures.js';
import { TOLD_LATE, merged, since } from '../../src/antiphon/web/operator/recent.js';
import { troubles } from '../../src/antiphon/web/operator/verdict.js';

test('times have a unit and no more digits than matter', () => {
	assert.equal(time(0.42), '0.4 ms');
	assert.equal(time(446.2), '446 ms');
	assert.equal(time(1449.9), '1.45 s');
	assert.equal(time(null), '–');
	assert.equal(time(undefined), '–');
});

test('money shows something when there is something', () => {
	assert.equal(money(0), '$0.00');
	assert.equal(money(0.00042), '$0.0004');
	assert.equal(money(0.00001), '< $0.0001');
	assert.equal(money(0.123456), '$0.1235');
	assert.equal(money(12.5), '$12.50');
	assert.equal(money(null), 'unknown');
});

test('the ticks of an axis are told apart', () => {
	assert.deepEqual(moneyTicks([0, 0.1, 0.2, 0.1 + 0.2]), ['$0.00', '$0.10', '$0.20', '$0.30']);
	assert.deepEqual(moneyTicks([0, 0.0025, 0.005]), ['$0.0000', '$0.0025', '$0.0050']);
	assert.deepEqual(moneyTicks([0, 0.00002]), ['$0.00000', '$0.00002']);
	assert.deepEqual(moneyTicks([]), []);
});

test('lengths, shares and counts', () => {
	assert.equal(length(7.4), '7 s');
	assert.equal(length(65), '1 min 05 s');
	assert.equal(length(3725), '1 h 02 min');
	assert.equal(percent(0.918), '92 %');
	assert.equal(percent(null), '–');
	assert.equal(percentWithin(0.999), '99 %');
	assert.equal(percentWithin(0.29), '29 %');
	assert.equal(whole(1234567), '1 234 567');
});

test('a time of another day has its day', () => {
	const now = new Date(2026, 10, 30, 3, 20, 41).getTime() / 1000;
	assert.equal(moment(now - 60, now), '03:19:41');
	assert.equal(moment(now - 4 * 3600, now), '29 Nov 23:20');
});

const turn = (ended_s, turn_id = `t${ended_s}`) => ({ session: 's', turn_id, ended_s });
const ids = (turns) => turns.map(({ turn_id }) => turn_id);

test('turns are in order, each once', () => {
	const known = [turn(50), turn(40), turn(30)];
	assert.deepEqual(ids(merged(known, [turn(60), turn(50), turn(45)], 60)), ['t60', 't50', 't45', 't40', 't30']);
});

test('a clock that was set back hides no new turn', () => {
	const known = [turn(9000), turn(8990), turn(3000)];
	assert.ok(since(3610, 9000) < 3610 - TOLD_LATE + 1);
	assert.deepEqual(ids(merged(known, [turn(3610, 'new')], 3611)), ['new', 't3000', 't9000', 't8990']);
	assert.equal(since(0, 0), 0);
});

const well = {
	ready: true,
	minutes: 15,
	sessions: { now: 3, max: 50 },
	first_sound: { p50_ms: 480, p95_ms: 900, within: 0.99, turns: 40 },
	turns: 40,
	failed_turns: 0,
	provider_calls: 120,
	failed_calls: 1,
	cost: { today_usd: 1, budget_usd: 5, degraded: false, wasted_usd: 0, unpriced: 0 },
	budget_ms: 1450,
	providers: [{ kind: 'llm', provider: 'openai:gpt-4o-mini', breaker: 'closed', last_error: '' }],
	ledger: { waiting: 12, lost: 0, alerts_failed: 0 },
	whole: true,
	lag_ms: 2,
};

test('all is well', () => {
	assert.deepEqual(troubles(well), []);
});

for (const [what, change, says] of [
	['not ready', { ready: false }, /not ready/],
	['an open breaker', { providers: [{ ...well.providers[0], breaker: 'open', last_error: 'timed out' }] }, /gpt-4o-mini is not asked.*timed out/],
	['a breaker on trial', { providers: [{ ...well.providers[0], breaker: 'half_open' }] }, /being tried again/],
	['many requests that fail', { failed_calls: 12 }, /^10 % of the requests to providers failed in the last 15 minutes/],
	['many turns that fail', { failed_turns: 10 }, /^25 % of the turns ended with an error/],
	['turns that fail before anybody is asked', { provider_calls: 0, failed_calls: 0, turns: 50, failed_turns: 50 }, /^100 % of the turns/],
	['late answers', { first_sound: { p50_ms: 900, p95_ms: 2300, within: 0.8, turns: 40 } }, /2\.30 s; the budget is 1\.45 s/],
	['a full house', { sessions: { now: 50, max: 50 } }, /All 50/],
	['a budget nearly spent', { cost: { ...well.cost, today_usd: 4.6 } }, /92 % of today/],
	['a budget spent', { cost: { ...well.cost, today_usd: 5.1 } }, /\$5\.00 is spent\.$/],
	['a day on cheaper models', { cost: { ...well.cost, today_usd: 5.1, degraded: true } }, /\$5\.00 is spent: cheaper models go on/],
	['calls without a price', { cost: { ...well.cost, unpriced: 3 } }, /3 requests have no price/],
	['a ledger that is not written', { ledger: { waiting: 4000 } }, /4000 entries wait/],
	['entries given up', { ledger: { lost: 3 } }, /3 entries of the ledger were given up/],
	['alerts that nobody got', { ledger: { alerts_failed: 2 } }, /2 alerts never/],
	['a store that is away', { whole: false }, /figures of one replica/],
	['a late loop', { lag_ms: 240 }, /240 ms behind/],
]) {
	test(`${what} needs a person`, () => {
		const found = troubles({ ...well, ...change });
		assert.equal(found.length, 1);
		assert.match(found[0], says);
	});
}

test('a few turns, or no budget, say nothing', () => {
	const few = { first_sound: { p50_ms: 3000, p95_ms: 3000, within: 0, turns: 2 }, turns: 2, failed_turns: 2, provider_calls: 2, failed_calls: 2, cost: { ...well.cost, budget_usd: null } };
	assert.deepEqual(troubles({ ...well, ...few }), []);
});
