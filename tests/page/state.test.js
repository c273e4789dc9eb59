// Conversations with the page's state: what a person does and the server says, and what comes of it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { situation } from '../../src/antiphon/web/situation.js';
import { backoff, initial, reduce, sending } from '../../src/antiphon/web/state.js';

const DOCUMENT = readFileSync(new URL('../../src/antiphon/web/index.html', import.meta.url), 'utf8');
/** The sentences that the document has, and the facts that each wants. */
const SENTENCES = new Map([...DOCUMENT.matchAll(/id="say-([\w-]+)".*<dd>(.*)<\/dd>/g)].map(([, name, text]) => [name, text.match(/\{\w+\}/g) ?? []]));

/** A page under test: its state, and everything it was told to do. */
function aPage(mode = 'open_mic') {
	const page = {
		state: initial(mode),
		done: [],
		now: 0,
		seq: 0,
		does(event) {
			const [state, commands] = reduce(page.state, event);
			page.state = state;
			page.done.push(...commands);
			return page;
		},
		hears(type, fields = {}) {
			page.seq += 1;
			const message = { type, seq: page.seq, ...fields };
			return page.does({ type: 'message', message, now: page.now, at: page.now, rtt_ms: 20, buffer_ms: 60 });
		},
		welcomed: (fields = {}) => page.hears('session', { session_id: 's1', epoch: 1, resume_token: 'tok', resumed: false, ...fields }),
		loses: (code = 1006, random = 0) => page.does({ type: 'closed', code, now: page.now, random }),
		plays: (reply, ms, done = false) => page.does({ type: 'sound', reply, ms, at: page.now, done }),
		tap: () => page.does({ type: 'press' }).does({ type: 'release', long: false }),
		took: (kind) => page.done.filter((command) => command.do === kind),
		sent: () => page.took('send').map(({ message }) => message.type),
		timer: (type) => page.took('after').findLast(({ event }) => event.type === type),
		says: () => situation(page.state, page.now).say,
		forget() {
			page.done = [];
			return page;
		},
	};
	return page;
}

/** Talking with an open microphone. */
const talking = (mode) => aPage(mode).tap().does({ type: 'mic', mic: 'on' }).welcomed().forget();

/** In the middle of a spoken reply. */
function speaking(mode) {
	const page = talking(mode);
	page.hears('transcript', { turn_id: 't1', text: 'Tell me a story', final: true });
	page.hears('response_started', { turn_id: 't1', reply_id: 'r1' });
	page.hears('response_text', { reply_id: 'r1', text: 'Here is a long story.' });
	page.hears('audio_started', { reply_id: 'r1' });
	return page.plays('r1', 200).forget();
}

const DONE = { turn_id: 't1', reply_id: 'r1', text: 'Here is a long story.', latency_ms: { first_sound: 400 } };

test('one tap asks for the microphone and connects; then it listens', () => {
	const page = aPage();
	assert.equal(page.says(), 'idle');
	page.tap();
	assert.deepEqual(page.done.map((command) => command.do), ['microphone', 'connect']);
	assert.equal(page.says(), 'asking');
	page.does({ type: 'mic', mic: 'on' });
	assert.equal(page.says(), 'connecting');
	assert.equal(sending(page.state), false);
	page.welcomed();
	assert.equal(page.says(), 'listening');
	assert.equal(sending(page.state), true);
});

test('a turn, from hearing to the last word spoken', () => {
	const page = talking();
	page.hears('speech_started', { at_ms: 300 });
	assert.equal(page.says(), 'hearing');
	page.hears('speech_stopped', { at_ms: 900 });
	assert.equal(page.says(), 'listening', 'the turn may go on');
	page.hears('transcript', { turn_id: 't1', text: 'Hello', final: true });
	assert.equal(page.says(), 'thinking');
	page.hears('response_started', { turn_id: 't1', reply_id: 'r1' });
	page.hears('response_text', { reply_id: 'r1', text: 'Hi.' });
	page.hears('audio_started', { reply_id: 'r1' });
	assert.equal(page.says(), 'thinking', 'until there is something to hear');
	page.plays('r1', 10);
	assert.equal(page.says(), 'speaking');
	page.hears('audio_done', { reply_id: 'r1', total_ms: 900 });
	page.hears('response_done', { ...DONE, text: 'Hi.' });
	assert.equal(page.says(), 'speaking', 'the server is done before the voice is');
	page.plays('r1', 900, true);
	assert.equal(page.says(), 'listening');
	assert.equal(page.state.entries.at(-1).spoken, 3);
	assert.equal(page.state.entries.at(-1).latency.rtt_ms, 20);
});

test('the server may be done before the first sound is heard', () => {
	const page = talking();
	page.hears('response_started', { turn_id: 't1', reply_id: 'r1' }).hears('response_text', { reply_id: 'r1', text: 'Hi.' });
	page.hears('audio_started', { reply_id: 'r1' }).hears('audio_done', { reply_id: 'r1', total_ms: 300 });
	page.hears('response_done', DONE);
	assert.equal(page.says(), 'thinking');
	assert.equal(page.plays('r1', 10).says(), 'speaking');
	assert.equal(page.plays('r1', 300, true).says(), 'listening');
});

test('an answer without a voice is over when the server is done', () => {
	const page = talking().hears('response_started', { turn_id: 't1', reply_id: 'r1' });
	page.hears('response_text', { reply_id: 'r1', text: 'Hi.' }).hears('response_done', DONE);
	assert.equal(page.says(), 'listening');
});

test('an interruption by voice silences it at once and says so for a moment', () => {
	const page = speaking();
	page.hears('interrupted', { reply_id: 'r1', heard_ms: 700, heard_text: 'Here is' });
	assert.equal(page.took('flush').length, 1);
	assert.equal(page.says(), 'interrupted');
	assert.equal(page.state.entries.at(-1).cut, 7);
	page.does(page.timer('settle').event);
	assert.equal(page.says(), 'listening');
});

test('an interruption is over when the next answer comes, however soon', () => {
	const page = speaking().hears('speech_started', { at_ms: 1 });
	page.hears('interrupted', { reply_id: 'r1', heard_ms: 700, heard_text: 'Here is' });
	assert.equal(page.says(), 'interrupted', 'and the same person speaks on');
	page.hears('transcript', { turn_id: 't2', text: 'Stop', final: true });
	assert.equal(page.says(), 'thinking');
	page.hears('response_started', { turn_id: 't2', reply_id: 'r2' }).hears('audio_started', { reply_id: 'r2' });
	assert.equal(page.plays('r2', 10).says(), 'speaking');
});

test('ducking, holding and resuming go to the voice, for the reply at hand only', () => {
	const page = speaking();
	page.hears('playback', { reply_id: 'r0', action: 'duck' });
	assert.deepEqual(page.took('voice'), []);
	page.hears('playback', { reply_id: 'r1', action: 'duck' });
	assert.equal(page.says(), 'speaking');
	page.hears('playback', { reply_id: 'r1', action: 'hold' });
	assert.equal(page.says(), 'paused');
	page.hears('playback', { reply_id: 'r1', action: 'resume' });
	assert.equal(page.says(), 'speaking');
	assert.deepEqual(page.took('voice').map(({ action }) => action), ['duck', 'hold', 'resume']);
});

test('a press while it speaks stops it, and a tap does no more', () => {
	const page = speaking();
	page.does({ type: 'press' });
	assert.deepEqual(page.sent(), ['interrupt']);
	assert.equal(page.took('flush').length, 1);
	page.does({ type: 'release', long: false });
	assert.equal(page.state.muted, false);
	assert.equal(page.says(), 'stopped');
});

test('holding while it speaks stops it and takes the turn', () => {
	const page = speaking('push_to_talk');
	page.does({ type: 'press' });
	assert.equal(sending(page.state), true);
	page.does({ type: 'release', long: true });
	assert.equal(sending(page.state), true, 'the last word is still on its way from the microphone');
	page.does(page.timer('tail').event);
	assert.equal(sending(page.state), false);
	assert.deepEqual(page.sent(), ['interrupt', 'commit']);
});

test('stop does nothing when nothing is said', () => {
	assert.deepEqual(talking().does({ type: 'stop' }).done, []);
});

test('a tap mutes and unmutes; muting mid-word ends the turn', () => {
	const page = talking();
	page.tap();
	assert.equal(page.says(), 'muted');
	assert.equal(sending(page.state), false);
	page.tap();
	assert.equal(page.says(), 'listening');
	page.hears('speech_started', { at_ms: 100 });
	page.does({ type: 'mute' });
	assert.deepEqual(page.sent(), ['commit']);
});

test('holding when muted is talking, for as long as it lasts', () => {
	const page = talking().does({ type: 'mute' });
	page.does({ type: 'press' });
	assert.equal(page.says(), 'held');
	assert.equal(sending(page.state), true);
	page.does({ type: 'release', long: true }).does({ type: 'tail' });
	assert.equal(page.state.muted, true);
	assert.equal(page.says(), 'thinking');
});

test('push-to-talk by holding, and by tapping', () => {
	const page = talking('push_to_talk');
	assert.equal(page.says(), 'push');
	assert.equal(sending(page.state), false);
	page.does({ type: 'press' });
	assert.equal(sending(page.state), true);
	page.does({ type: 'release', long: true }).does({ type: 'tail' });
	assert.deepEqual(page.sent(), ['commit']);
	page.does({ type: 'lull' }).forget();
	assert.equal(page.says(), 'push', 'nothing came of it');

	page.tap();
	assert.equal(page.says(), 'latched');
	assert.equal(sending(page.state), true);
	page.tap().does({ type: 'tail' });
	assert.equal(sending(page.state), false);
	assert.deepEqual(page.sent(), ['commit']);
});

test('words that could not be had are asked for again; noise is passed over', () => {
	const page = talking();
	page.hears('transcript', { turn_id: 't1', text: '', final: true });
	assert.equal(page.says(), 'listening');
	page.hears('transcript', { turn_id: 't2', text: 'What', final: false });
	page.hears('transcript', { turn_id: 't2', text: '', final: true });
	assert.equal(page.says(), 'missed');
	assert.deepEqual(page.state.entries, []);
	page.does({ type: 'settle' });
	assert.equal(page.says(), 'listening');
});

test('thinking lasts while a reply is on its way, however long', () => {
	const page = talking('push_to_talk');
	page.does({ type: 'press' }).does({ type: 'release', long: true }).does({ type: 'tail' });
	page.hears('response_started', { turn_id: 't1', reply_id: 'r1' });
	assert.equal(page.does({ type: 'lull' }).says(), 'thinking');
});

test('typing connects without a microphone, and sends once it can', () => {
	const page = aPage().does({ type: 'say', text: '  What time is it?  ' });
	assert.deepEqual(page.done, [{ do: 'connect' }]);
	assert.equal(page.state.entries[0].text, 'What time is it?');
	page.welcomed();
	assert.deepEqual(page.took('send').map(({ message }) => message), [{ type: 'text', text: 'What time is it?' }]);
	assert.equal(page.says(), 'thinking');
	page.forget().does({ type: 'say', text: ' ' });
	assert.deepEqual(page.done, []);
});

test('typing while it speaks interrupts', () => {
	const page = speaking().does({ type: 'say', text: 'Never mind' });
	assert.deepEqual(page.sent(), ['interrupt', 'text']);
});

test('every trouble with the microphone has its words, and typing goes on', () => {
	for (const mic of ['refused', 'missing', 'taken', 'insecure']) {
		const page = aPage().tap().does({ type: 'mic', mic }).welcomed();
		assert.equal(page.says(), mic);
		assert.equal(sending(page.state), false);
		page.does({ type: 'say', text: 'Hi' });
		assert.equal(page.says(), 'thinking');
		page.does({ type: 'lull' });
		page.forget().tap();
		assert.deepEqual(page.done, [{ do: 'microphone', on: true }], 'a tap tries again');
	}
});

test('a lost connection is taken up again, ever more slowly', () => {
	const page = talking();
	page.now = 1000;
	page.loses(1006, 1);
	assert.equal(page.says(), 'lost');
	assert.deepEqual(page.timer('retry'), { do: 'after', ms: 400, event: { type: 'retry', attempt: 1 } });
	assert.equal(sending(page.state), false);
	page.does({ type: 'retry', attempt: 1 });
	assert.equal(page.took('connect').length, 1);
	page.loses(1006, 1);
	assert.equal(page.timer('retry').ms, 800);
	page.forget().does({ type: 'retry', attempt: 1 });
	assert.deepEqual(page.done, [], 'a timer of an earlier attempt');
	page.does({ type: 'retry', attempt: 2 }).welcomed({ resumed: true });
	assert.equal(page.says(), 'back');
	page.does({ type: 'settle' });
	assert.equal(page.says(), 'listening');
	assert.equal(page.state.retry, null);
});

test('the wait before a reconnect grows to a quarter of a minute, half of it chance', () => {
	assert.equal(backoff(1, 0), 200);
	assert.equal(backoff(1, 1), 400);
	assert.equal(backoff(3, 1), 1600);
	assert.equal(backoff(30, 1), 15_000);
});

test('back on the network, it does not wait for its timer', () => {
	const page = talking().loses().forget().does({ type: 'online' });
	assert.deepEqual(page.done, [{ do: 'connect' }]);
	assert.deepEqual(talking().does({ type: 'online' }).done, []);
});

test('a resumed session skips what it has heard; a fresh one starts over and says so', () => {
	const page = speaking();
	const { seq } = page.state.session;
	page.loses().does({ type: 'retry', attempt: 1 });
	page.seq = 0;
	page.welcomed({ resumed: true });
	assert.equal(page.state.session.seq, seq);
	page.hears('response_text', { reply_id: 'r1', text: ' again', seq });
	page.hears('response_text', { reply_id: 'r1', text: ' More.', seq: seq + 1 });
	assert.equal(page.state.entries.at(-1).text, 'Here is a long story. More.');

	page.loses().does({ type: 'retry', attempt: 1 }).forget();
	page.seq = 0;
	page.welcomed({ session_id: 's2', epoch: 2 });
	assert.equal(page.says(), 'fresh');
	assert.equal(page.took('flush').length, 1);
	assert.match(page.state.entries.at(-1).text, /new conversation/);
	assert.equal(page.state.session.seq, 1);
});

test('busy: it says when it tries again, and tries', () => {
	const page = aPage().tap().does({ type: 'mic', mic: 'on' });
	page.now = 1000;
	page.hears('error', { code: 'busy', message: 'full', retryable: true, retry_after_ms: 7000 });
	page.loses(1013);
	assert.equal(page.says(), 'busy');
	assert.equal(situation(page.state, page.now).facts.wait, '7 s');
	page.does({ type: 'retry', attempt: 1 });
	assert.equal(page.says(), 'connecting');
	page.loses(1013, 0);
	assert.equal(page.timer('retry').ms, 5000, 'without a time from the server');
});

test('busy on a reconnect is understood though its numbers start over', () => {
	const page = speaking().loses().does({ type: 'retry', attempt: 1 });
	page.seq = 0;
	page.hears('error', { code: 'busy', message: 'full', retryable: true, retry_after_ms: 9000 });
	page.loses(1013);
	assert.equal(page.timer('retry').ms, 9000);
});

test('whoever comes back to a server that is just leaving is on the way back, not busy', () => {
	const page = speaking().loses().does({ type: 'retry', attempt: 1 });
	page.hears('error', { code: 'draining', message: 'restarting', retryable: true, retry_after_ms: 300 });
	page.loses(1013);
	assert.equal(page.state.phase, 'reconnecting');
	assert.equal(page.timer('retry').ms, 300);
});

test('words of a turn that its server took to its grave do not stay grey', () => {
	const page = talking().hears('transcript', { turn_id: 't1', text: 'Tell me', final: false }).loses();
	page.welcomed({ resumed: true }).hears('notice', { kind: 'turn_lost', message: 'Lost.' });
	assert.deepEqual(page.state.entries.map(({ who }) => who), ['note']);
});

test('a server about to go is left when nothing is under way, and then taken up elsewhere', () => {
	const page = speaking().hears('going_away', { reconnect_in_ms: 1500 });
	assert.equal(page.timer('move').ms, 1500);
	page.forget().does({ type: 'move' });
	assert.deepEqual(page.done, [], 'not in the middle of a reply');
	page.hears('response_done', DONE);
	page.plays('r1', 900, true);
	assert.deepEqual(page.done, [{ do: 'connect' }]);
	assert.equal(page.says(), 'connecting');
});

test('a session that went to another replica is followed; one that another connection took is not', () => {
	const page = talking().forget();
	page.loses(4001);
	assert.equal(page.state.phase, 'reconnecting');
	page.does({ type: 'retry', attempt: 1 }).welcomed({ resumed: true });
	page.loses(4000);
	assert.equal(page.state.phase, 'idle');
});

test('a server that goes before is followed after the time it gave', () => {
	const page = talking().hears('going_away', { reconnect_in_ms: 1500 });
	assert.equal(page.says(), 'moving');
	page.loses(1012);
	assert.equal(page.timer('retry').ms, 1500);
});

test('changed settings wait for a quiet moment, then take effect', () => {
	const page = speaking().does({ type: 'settings', mode: 'push_to_talk' });
	assert.deepEqual(page.done, []);
	page.plays('r1', 900, true);
	assert.deepEqual(page.done, [{ do: 'connect' }]);
	assert.equal(page.state.mode, 'push_to_talk');
	assert.deepEqual(aPage().does({ type: 'settings', mode: 'push_to_talk' }).done, []);
});

test('what the server refuses at the door is said, and a tap tries again', () => {
	const page = aPage().tap().hears('error', { code: 'bad_request', message: 'There is no voice x.', retryable: false });
	assert.equal(page.says(), 'failed');
	assert.equal(situation(page.state, 0).facts.why, 'There is no voice x.');
	page.loses(1008);
	assert.equal(page.says(), 'failed');
	assert.equal(page.tap().says(), 'asking');
});

test('an error in the conversation is a line in it; the conversation goes on', () => {
	const page = talking().hears('error', { code: 'provider_failed', message: 'The voice failed.', retryable: false });
	assert.equal(page.state.entries.at(-1).text, 'The voice failed.');
	assert.equal(page.says(), 'listening');
});

test('a reached budget says so until the next connection', () => {
	const page = talking().hears('error', { code: 'budget_reached', message: 'Until tomorrow.', retryable: false });
	assert.equal(page.says(), 'budget');
	assert.equal(situation(page.state, 0).facts.why, 'Until tomorrow.');
});

test('loading: how far, how long, and it starts by itself once it was asked to', () => {
	const model = (stage, done_bytes) => ({ id: 'asr/whisper-base', stage, done_bytes, total_bytes: 100e6, message: '' });
	const asks = (models, now, more = {}) => ({ type: 'readiness', readiness: { ready: false, draining: false, models, ...more }, now });
	const page = aPage().does(asks([model('downloading', 10e6)], 0));
	assert.equal(page.says(), 'loading');
	page.does(asks([model('downloading', 60e6)], 5000));
	page.now = 5000;
	assert.match(situation(page.state, 5000).facts.line, /asr\/whisper-base: downloading, 60 of 100 MB, about 10 s left/);
	assert.equal(situation(page.state, 5000).progress, 0.48);
	page.tap();
	assert.deepEqual(page.done.map((command) => command.do), ['microphone']);
	assert.match(situation(page.state, 5000).facts.then, /by itself/);
	page.does({ type: 'mic', mic: 'on' });
	page.does({ type: 'readiness', readiness: { ready: true, draining: false, models: [] }, now: 9000 });
	assert.equal(page.done.at(-1).do, 'connect');

	page.does({ type: 'end' });
	page.does(asks([model('failed', 0)], 0));
	assert.equal(page.says(), 'broken');
	page.does(asks([], 0, { draining: true }));
	assert.equal(page.says(), 'restarting');
	page.does(asks([], 0, { error: { code: 'model_unavailable', message: 'The disk is full.' } }));
	assert.equal(situation(page.state, 0).facts.why, 'The disk is full.');
});

test('news of the models does not disturb a conversation', () => {
	const page = talking();
	page.does({ type: 'readiness', readiness: { ready: false, draining: true, models: [] }, now: 0 });
	assert.equal(page.says(), 'listening');
});

test('the end: everything is let go, the words stay', () => {
	const page = speaking().does({ type: 'end' });
	assert.deepEqual(page.done.map((command) => command.do), ['send', 'flush', 'disconnect', 'microphone']);
	assert.equal(page.says(), 'idle');
	assert.match(page.state.entries.at(-1).text, /^Ended/);
	page.loses(1000);
	assert.equal(page.says(), 'idle');
	assert.equal(page.tap().welcomed().state.entries.length, 3);
});

test('a server that hangs up because nothing was said ends it, too', () => {
	assert.equal(talking().loses(1000).says(), 'idle');
});

test('the pace of the voice is learned from each reply', () => {
	const page = speaking().hears('audio_done', { reply_id: 'r1', total_ms: 2100 });
	assert.equal(page.state.pace, 0.01);
});

test('clearing takes the words only', () => {
	const page = speaking().does({ type: 'clear' });
	assert.deepEqual(page.state.entries, []);
	assert.equal(page.says(), 'speaking');
});

test('any order of events leaves a page with a sentence', () => {
	// A small pseudo-random walk: no event in any state may throw or leave nothing to say.
	let dice = 7;
	const roll = (n) => (dice = (dice * 48_271) % 2_147_483_647) % n;
	const reply = () => `r${roll(3)}`;
	const moves = [
		(page) => page.does({ type: 'press' }),
		(page) => page.does({ type: 'release', long: roll(2) === 0 }),
		(page) => page.does({ type: ['mute', 'stop', 'end', 'clear', 'online', 'settle', 'tail', 'lull', 'move'][roll(9)] }),
		(page) => page.does({ type: 'say', text: 'hello' }),
		(page) => page.does({ type: 'settings', mode: ['open_mic', 'push_to_talk'][roll(2)] }),
		(page) => page.does({ type: 'mic', mic: ['off', 'on', 'refused'][roll(3)] }),
		(page) => page.does({ type: 'retry', attempt: roll(4) }),
		(page) => page.loses([1000, 1006, 1012, 1013, 4000, 4001][roll(6)]),
		(page) => page.welcomed({ resumed: roll(2) === 0 }),
		(page) => page.hears('response_started', { turn_id: 't', reply_id: reply() }),
		(page) => page.hears('response_text', { reply_id: reply(), text: 'word ' }),
		(page) => page.hears('audio_started', { reply_id: reply() }),
		(page) => page.hears('audio_done', { reply_id: reply(), total_ms: 900 }),
		(page) => page.hears('interrupted', { reply_id: reply(), heard_ms: 1, heard_text: 'word' }),
		(page) => page.hears('response_done', { ...DONE, reply_id: reply() }),
		(page) => page.hears('playback', { reply_id: reply(), action: ['duck', 'hold', 'resume'][roll(3)] }),
		(page) => page.hears(['speech_started', 'speech_stopped'][roll(2)], { at_ms: 1 }),
		(page) => page.plays(reply(), 100, roll(2) === 0),
		(page) => page.hears('error', { code: ['busy', 'bad_audio', 'budget_reached'][roll(3)], message: 'x', retryable: true }),
		(page) => page.hears('going_away', { reconnect_in_ms: 100 }),
	];
	for (let walk = 0; walk < 200; walk += 1) {
		const page = aPage();
		for (let step = 0; step < 60; step += 1) {
			moves[roll(moves.length)](page);
			page.now += 50;
			const { say, facts } = situation(page.state, page.now);
			assert.ok(SENTENCES.has(say), say);
			for (const fact of SENTENCES.get(say)) assert.equal(typeof facts[fact.slice(1, -1)], 'string', `${say} ${fact}`);
		}
		// Left alone, it comes to rest: nobody is heard, nothing plays, and every timer has run.
		page.plays('r0', 1, true).plays('r1', 1, true).plays('r2', 1, true);
		page.does({ type: 'release', long: true }).does({ type: 'tail' }).does({ type: 'lull' }).does({ type: 'settle' });
		for (const id of ['r0', 'r1', 'r2']) page.hears('response_done', { ...DONE, reply_id: id });
		page.hears('speech_stopped', { at_ms: 1 });
		assert.ok(!['thinking', 'speaking', 'hearing', 'held'].includes(page.says()), page.says());
	}
});
