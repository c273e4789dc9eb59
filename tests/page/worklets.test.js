// The two worklets, without a browser: the few names they find around them are put there first.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const registered = {};
globalThis.sampleRate = 48_000;
globalThis.AudioWorkletProcessor = class {
	constructor() {
		this.posted = [];
		this.port = { postMessage: (message) => this.posted.push(message) };
	}
};
globalThis.registerProcessor = (name, processor) => (registered[name] = processor);

const { Resampler } = await import('../../src/antiphon/web/microphone-worklet.js');
const { Playout } = await import('../../src/antiphon/web/playback-worklet.js');

const sine = (hz, rate, length) => Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));
const rms = (samples) => Math.sqrt(samples.reduce((sum, s) => sum + s * s, 0) / samples.length);

/** A second of a tone through the resampler in blocks of 128, its ends cut off. */
function resampled(hz, from, to) {
	const resampler = new Resampler(from, to);
	const input = sine(hz, from, from);
	const out = [];
	for (let at = 0; at < input.length; at += 128) out.push(...resampler.push(input.subarray(at, at + 128)));
	return { all: out, middle: out.slice(400, -400) };
}

test('speech passes the resampler unharmed, at the right length and pitch', () => {
	for (const from of [48_000, 44_100, 96_000, 22_050, 8_000]) {
		for (const hz of [200, 1000, 3000]) {
			const { all, middle } = resampled(hz, from, 16_000);
			assert.ok(Math.abs(all.length - 16_000) < 120, `${from}: ${all.length} samples`);
			assert.ok(Math.abs(rms(middle) - Math.SQRT1_2) < 0.01, `${from} Hz, ${hz}: ${rms(middle)}`);
			const crossings = middle.filter((s, i) => i && s >= 0 && middle[i - 1] < 0).length;
			assert.ok(Math.abs(crossings - (hz * middle.length) / 16_000) <= 1.5, `${from} Hz, ${hz}: ${crossings}`);
		}
	}
});

test('what 16 kHz cannot carry is filtered out, not folded down', () => {
	for (const from of [48_000, 44_100]) {
		for (const hz of [9000, 12_000, 15_000, 20_000]) {
			const { middle } = resampled(hz, from, 16_000);
			assert.ok(rms(middle) < 0.0005, `${from} Hz, ${hz}: ${rms(middle)}`);
		}
	}
});

test('the microphone posts frames of 512 samples with their level, channels mixed', () => {
	const microphone = new registered.microphone();
	const block = (level) => [new Float32Array(128).fill(level), new Float32Array(128).fill(0)];
	for (let i = 0; i < 30; i += 1) microphone.process([block(0.5)]);
	assert.equal(microphone.posted.length, 2, '30 × 128 at 48 kHz are 1280 at 16 kHz: two frames');
	const { pcm, level } = microphone.posted[1];
	assert.equal(pcm.byteLength, 1024);
	assert.ok(Math.abs(new Int16Array(pcm)[300] - 8192) < 40);
	assert.ok(Math.abs(level - 0.25) < 0.002);
	assert.equal(microphone.process([[]]), true, 'no input is no trouble');
});

const RATE = 24_000;
const ms = (count) => (count * RATE) / 1000;
/** That much of a steady level. */
const steady = (count, level = 16_384) => new Int16Array(ms(count)).fill(level);

/** Plays for a while; what came out. */
function play(playout, count) {
	const out = new Float32Array(ms(count));
	const over = [];
	for (let at = 0; at < out.length; at += 128) {
		const done = playout.fill(out.subarray(at, at + 128));
		if (done) over.push(done);
	}
	return { out, over };
}
const at = (out, when) => out[ms(when)];

test('it waits for the store to fill, then plays, and knows where it is', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(20));
	assert.equal(rms(play(playout, 20).out), 0);
	playout.add(steady(80));
	const { out } = play(playout, 50);
	assert.ok(Math.abs(at(out, 10) - 0.5) < 0.001);
	assert.deepEqual(playout.position, { reply: 'r1', ms: 50 });
});

test('a reply shorter than the store sounds as soon as it is whole', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(20));
	playout.finish('r1');
	const { out, over } = play(playout, 40);
	assert.ok(at(out, 10) > 0.49);
	assert.deepEqual(over, [{ reply: 'r1', ms: 20 }]);
	assert.ok(Math.abs(at(out, 30)) < 0.001);
});

test('a flush is silence within 5 ms, without a step', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(500));
	play(playout, 100);
	playout.flush();
	const { out } = play(playout, 50);
	const steps = out.slice(1).map((s, i) => Math.abs(s - out[i]));
	assert.ok(Math.max(...steps) < 0.06, 'no click');
	assert.ok(Math.abs(at(out, 5)) < 0.001);
	assert.equal(playout.position.reply, '');
});

test('ducking is a quarter as loud after 30 ms; resuming is full again', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(1000));
	play(playout, 50);
	playout.target = 0.25;
	const { out: down } = play(playout, 50);
	assert.ok(at(down, 15) < 0.45 && at(down, 15) > 0.15);
	assert.ok(Math.abs(at(down, 40) - 0.125) < 0.001);
	playout.target = 1;
	assert.ok(Math.abs(at(play(playout, 50).out, 40) - 0.5) < 0.001);
	assert.equal(playout.position.ms, 150, 'and it goes on meanwhile');
});

test('held, it stands still where it is, and goes on from there', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(1000));
	play(playout, 50);
	playout.target = 0;
	play(playout, 60);
	const held = playout.position.ms;
	assert.ok(held > 50 && held <= 81, `${held}`);
	assert.equal(rms(play(playout, 200).out), 0);
	assert.equal(playout.position.ms, held);
	playout.target = 1;
	play(playout, 50);
	assert.equal(playout.position.ms, held + 50);
});

test('a gap makes the store larger, a reply without one smaller, within bounds', () => {
	const playout = new Playout(RATE);
	assert.equal(playout.store, 45);
	playout.begin('r1', 0);
	for (let i = 0; i < 20; i += 1) {
		playout.add(steady(250));
		play(playout, 320);
	}
	assert.equal(playout.store, 250);
	playout.finish('r1');
	play(playout, 20);
	for (let i = 0; i < 40; i += 1) {
		playout.begin(`s${i}`, 0);
		playout.add(steady(20));
		playout.finish(`s${i}`);
		play(playout, 30);
	}
	assert.equal(playout.store, 45);
});

test('a gap does not move the position', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(60));
	play(playout, 500);
	assert.equal(playout.position.ms, 60);
	playout.add(steady(100));
	play(playout, 40);
	assert.equal(playout.position.ms, 100);
});

test('replies follow each other, each from its own beginning and at full loudness', () => {
	const playout = new Playout(RATE);
	playout.begin('r1', 0);
	playout.add(steady(100));
	playout.finish('r1');
	playout.begin('r2', 400);
	playout.add(steady(100, -16_384));
	playout.target = 0.25;
	const { over } = play(playout, 110);
	assert.deepEqual(over, [{ reply: 'r1', ms: 100 }]);
	play(playout, 40);
	assert.equal(playout.position.reply, 'r2');
	assert.ok(playout.position.ms > 440 && playout.position.ms < 455, `${playout.position.ms}`);
	assert.equal(playout.gain, 1);
});

test('sound without a reply, empty or without end is not kept', () => {
	const playout = new Playout(RATE);
	playout.add(steady(100));
	assert.equal(rms(play(playout, 100).out), 0);
	playout.begin('r1', 0);
	playout.add(new Int16Array(0));
	for (let i = 0; i < 200; i += 1) playout.add(steady(1000));
	assert.ok(playout.replies[0].queued <= ms(62_000));
});

test('the processor obeys and reports: first at once, then every 40 ms, at last the end', () => {
	globalThis.sampleRate = RATE;
	const playback = new registered.playback();
	const tell = (data) => playback.port.onmessage({ data });
	tell({ do: 'begin', reply: 'r1', from_ms: 0 });
	tell({ do: 'add', pcm: steady(200).buffer });
	tell({ do: 'add', pcm: new ArrayBuffer(3) });
	tell({ do: 'finish', reply: 'r1' });
	for (let i = 0; i < 45; i += 1) playback.process([], [[new Float32Array(128)]]);
	const { posted } = playback;
	assert.ok(posted[0].ms < 10);
	assert.ok(posted.length >= 5 && posted.length <= 7, `${posted.length} reports in 240 ms`);
	assert.deepEqual([posted.at(-1).done, Math.round(posted.at(-1).ms)], [true, 200]);
	tell({ do: 'duck' });
	assert.equal(playback.playout.target, 0.25);
	tell({ do: 'hold' });
	assert.equal(playback.playout.target, 0);
	tell({ do: 'resume' });
	assert.equal(playback.playout.target, 1);
	tell({ do: 'flush' });
	assert.equal(playback.playout.replies.length, 0);
});

test('the rest of a reply that comes again after a break goes on where it was, and nothing is heard twice', () => {
	const playout = new Playout(24_000);
	playout.begin('r1', 0);
	const sound = Int16Array.from({ length: 24_000 }, (_, i) => i % 20_000);
	playout.add(sound.subarray(0, 12_000));
	playout.fill(new Float32Array(7200)); // 300 ms of it; the line breaks
	const { ms } = playout.position;
	playout.again('r1', ms - 100); // the server believes it to be 100 ms further back
	playout.add(sound.subarray(7200 - 2400, 7200 - 1000));
	playout.add(sound.subarray(7200 - 1000));
	const out = new Float32Array(2400);
	playout.fill(out);
	const first = out.findIndex((sample) => sample > 0.1);
	assert.ok(Math.abs(out[first] * 32_768 - sound[7200 + first]) < 2, 'it goes on with the sample after the last one heard');
	assert.ok(Math.abs(playout.position.ms - ms - 100) < 1);
});

test('what comes again of a reply that nothing was kept of begins where it is said to', () => {
	const playout = new Playout(24_000);
	playout.again('r1', 2300);
	playout.add(new Int16Array(4800));
	playout.fill(new Float32Array(2400));
	assert.equal(playout.position.ms, 2400);
});
