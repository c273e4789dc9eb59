import assert from 'node:assert/strict';
import { test } from 'node:test';

import { judgeRoom, tonePower, TONES } from '../../src/antiphon/web/room.js';

const [RATE, FRAME] = [16_000, 512];

/** Frames of sound made by `at(seconds)`, -1 to 1. */
const frames = (count, at) =>
	Array.from({ length: count }, (_, f) =>
		Int16Array.from({ length: FRAME }, (_, i) => Math.round(32_767 * at((f * FRAME + i) / RATE))));

/** Noise that is the same each time. */
function noise(level) {
	let dice = 1;
	return () => level * (((dice = (dice * 48_271) % 2_147_483_647) / 2_147_483_647) * 2 - 1);
}
/** The tones one after the other, as the page plays them. */
const tones = (level) => (s) => level * Math.sin(2 * Math.PI * TONES[Math.min(2, Math.floor(s / 0.7))] * s);
const both = (a, b) => (s) => a(s) + b(s);

test('the power of one frequency', () => {
	const [full] = frames(1, (s) => Math.sin(2 * Math.PI * 1000 * s));
	assert.ok(Math.abs(tonePower(full, 1000, RATE) - 0.5) < 0.01);
	assert.ok(tonePower(full, 2000, RATE) < 0.001);
});

test('a quiet room with headphones: open microphone', () => {
	const verdict = judgeRoom(frames(60, noise(0.002)), frames(70, noise(0.002)), RATE);
	assert.equal(verdict.say, 'good');
	assert.equal(verdict.mode, 'open_mic');
	assert.ok(verdict.noise < -55 && verdict.noise > -65, `${verdict.noise}`);
});

test('speakers beside the microphone: push-to-talk, and what helps', () => {
	const verdict = judgeRoom(frames(60, noise(0.002)), frames(70, both(tones(0.05), noise(0.002))), RATE);
	assert.equal(verdict.say, 'bleeds');
	assert.equal(verdict.mode, 'push_to_talk');
	assert.ok(verdict.speakers > -35 && verdict.speakers < -25, `${verdict.speakers}`);
});

test('what an echo canceller leaves of the tones does not count', () => {
	const verdict = judgeRoom(frames(60, noise(0.002)), frames(70, both(tones(0.001), noise(0.002))), RATE);
	assert.equal(verdict.say, 'good');
});

test('a loud room: push-to-talk', () => {
	const verdict = judgeRoom(frames(60, noise(0.06)), frames(70, noise(0.06)), RATE);
	assert.equal(verdict.say, 'loud');
	assert.equal(verdict.mode, 'push_to_talk');
});

test('a microphone that is switched off', () => {
	assert.equal(judgeRoom(frames(60, () => 0), frames(70, () => 0), RATE).say, 'dead');
	assert.equal(judgeRoom([], [], RATE).say, 'dead');
});
