import assert from 'node:assert/strict';
import { test } from 'node:test';

import { flightOf } from '../../src/antiphon/web/flight.js';
import { bars, BUDGET, BUDGET_MS } from '../../src/antiphon/web/latency.js';

const LATENCY = {
	stages: [
		{ name: 'capture', start_ms: 0, end_ms: 220 },
		{ name: 'asr', start_ms: 100, end_ms: 200 },
		{ name: 'llm', start_ms: 200, end_ms: 290 },
		{ name: 'magic', start_ms: 290, end_ms: 300 },
		{ name: 'tts', start_ms: 300, end_ms: 400 },
	],
	latency_ms: { first_sound: 400 },
	rtt_ms: 30,
	buffer_ms: 60,
	usage: undefined,
};

test('the budget is the one of the design: 1450 ms', () => assert.equal(BUDGET_MS, 1450));

test('the way there and back and the jitter buffer are added to what the server measured', () => {
	const { bars: rows, total } = bars(LATENCY);
	const by = Object.fromEntries(rows.map((row) => [row.name, row]));
	assert.equal(total, 490);
	assert.deepEqual([by.upload.start, by.upload.end], [0, 15]);
	assert.deepEqual([by.asr.start, by.asr.end, by.asr.ms], [115, 215, 100]);
	assert.deepEqual([by.download.start, by.download.end], [415, 430]);
	assert.deepEqual([by.playback.start, by.playback.end], [430, 490]);
});

test('stages stand in the order of the budget, unknown ones after them, without a budget', () => {
	const { bars: rows } = bars(LATENCY);
	assert.deepEqual(rows.map((row) => row.name), ['capture', 'upload', 'asr', 'llm', 'tts', 'download', 'playback', 'magic']);
	assert.deepEqual(rows.map((row) => row.budget), [500, 50, 300, 300, 200, 50, 0, null]);
	assert.equal(BUDGET.network, 50, 'a stage that was not timed has no bar');
});

test('without a first sound the last stage ends it', () => {
	assert.equal(bars({ ...LATENCY, latency_ms: {}, rtt_ms: 0, buffer_ms: 0 }).total, 400);
	assert.equal(bars({ ...LATENCY, latency_ms: {}, stages: [], rtt_ms: 0, buffer_ms: 0 }).total, 0);
});

const speech = (at, on) => ({ kind: 'speech', at, on });
const reply = (at, id, what) => ({ kind: 'reply', at, reply: id, what });
const decision = (at, name) => ({ kind: 'decision', at, name, reason: '', details: {} });
const heard = (at, text, final) => ({ kind: 'words', at, text, final });

/** A turn with a pause in it and a reply turned down for a moment, then one that cuts that reply off. */
const FLIGHT = [
	speech(1000, true),
	speech(1500, false),
	decision(1600, 'wait'),
	speech(2000, true),
	heard(2300, 'What is', false),
	speech(2500, false),
	heard(2600, 'What is the time?', true),
	decision(2700, 'turn'),
	reply(2700, 'r1', 'asked'),
	reply(2900, 'r1', 'sound'),
	reply(3500, 'r1', 'duck'),
	reply(3700, 'r1', 'resume'),
	speech(5000, true),
	decision(5200, 'cancel'),
	reply(5200, 'r1', 'cut'),
	reply(5210, 'r1', 'done'),
	speech(5600, false),
	heard(5700, 'Stop.', true),
	reply(5800, 'r2', 'asked'),
	reply(6000, 'r2', 'sound'),
	reply(6800, 'r2', 'done'),
	reply(7000, 'r2', 'end'),
];

test('a flight begins with the first word of its turn, pauses and all', () => {
	const flight = flightOf(FLIGHT, 'r1');
	assert.equal(flight.start, 700);
	assert.equal(flight.end, 5810);
	assert.deepEqual(flight.speech.slice(0, 2), [{ start: 1000, end: 1500 }, { start: 2000, end: 2500 }]);
	assert.deepEqual(flight.decisions.map(({ name }) => name), ['wait', 'turn', 'cancel']);
	assert.deepEqual(flight.words.map(({ text }) => text), ['What is', 'What is the time?', 'Stop.'], 'and what cut it off');
});

test('the sound of a reply is told in stretches of one loudness', () => {
	assert.deepEqual(flightOf(FLIGHT, 'r1').sound, [
		{ start: 2900, end: 3500, what: 'sound' },
		{ start: 3500, end: 3700, what: 'duck' },
		{ start: 3700, end: 5200, what: 'resume' },
	]);
});

test('a turn that began over the reply before belongs to its own flight, too', () => {
	const flight = flightOf(FLIGHT, 'r2');
	assert.equal(flight.start, 4700);
	assert.deepEqual(flight.speech, [{ start: 5000, end: 5600 }]);
	assert.deepEqual(flight.sound, [{ start: 6000, end: 7000, what: 'sound' }]);
});

test('speech that goes on reaches to the end; a typed turn has none', () => {
	assert.deepEqual(flightOf([speech(100, true), reply(300, 'r', 'asked'), reply(900, 'r', 'done')], 'r').speech, [{ start: 100, end: 900 }]);
	const typed = flightOf([reply(1000, 'r', 'asked'), reply(1500, 'r', 'done')], 'r');
	assert.deepEqual([typed.start, typed.end, typed.speech], [700, 2100, []]);
	assert.equal(flightOf(FLIGHT, 'unknown'), null);
});

test('a flight is at most half a minute', () => {
	const long = flightOf([speech(0, true), speech(90_000, false), reply(90_100, 'r', 'asked'), reply(91_000, 'r', 'done')], 'r');
	assert.equal(long.end - long.start, 30_000);
});
