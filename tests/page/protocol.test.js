import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEFAULTS, parse } from '../../src/antiphon/web/preferences.js';
import { readMessage, socketAddress, startMessage, subprotocols } from '../../src/antiphon/web/protocol.js';

test('the socket stands beside the page, also under a prefix', () => {
	assert.equal(socketAddress('http://127.0.0.1:8000/'), 'ws://127.0.0.1:8000/ws/voice');
	assert.equal(socketAddress('https://example.org/talk/?x=1#y'), 'wss://example.org/talk/ws/voice');
});

test('a ticket travels as a subprotocol', () => {
	assert.deepEqual(subprotocols(null), ['antiphon.v1']);
	assert.deepEqual(subprotocols('abc'), ['antiphon.v1', 'ticket.abc']);
});

test('start says what was chosen, and which session to take up', () => {
	const start = startMessage({ ...DEFAULTS, voice: 'joe', speed: 1.2 }, null);
	assert.deepEqual(start, {
		type: 'start',
		input_rate: 16_000,
		output_rate: 24_000,
		language: '',
		voice: 'joe',
		instructions: '',
		mode: 'open_mic',
		speed: 1.2,
		timeline: true,
		resume: null,
	});
	const session = { id: 's1', epoch: 1, token: 'secret', seq: 41 };
	assert.deepEqual(startMessage(DEFAULTS, session).resume, { session_id: 's1', token: 'secret', last_seq: 41, played: null });
	const played = { reply_id: 'r4', ms: 2310 };
	assert.deepEqual(startMessage(DEFAULTS, session, played).resume?.played, played);
	assert.equal(startMessage(DEFAULTS, { ...session, token: null }).resume, null);
});

test('messages are believed when they are whole', () => {
	assert.equal(readMessage('{"type":"pong"}').type, 'pong');
	assert.equal(readMessage('{"type":"transcript","turn_id":"t","text":"hi","final":true}').text, 'hi');
});

test('anything else is ignored', () => {
	const strange = [
		'',
		'{',
		'null',
		'42',
		'[]',
		'{"type":"unheard_of"}',
		'{"type":"toString"}',
		'{"type":"__proto__"}',
		'{"type":"transcript","turn_id":"t","final":true}',
		'{"type":"transcript","turn_id":"t","text":7,"final":true}',
		'{"type":"response_done","reply_id":"r","text":"","latency_ms":null}',
	];
	for (const text of strange) assert.equal(readMessage(text), null, text);
});

test('preferences: what is good is kept, value by value', () => {
	assert.deepEqual(parse(null), DEFAULTS);
	assert.deepEqual(parse('not json'), DEFAULTS);
	assert.deepEqual(parse('[1]'), DEFAULTS);
	assert.deepEqual(parse('null'), DEFAULTS);
	const kept = parse('{"mode":"push_to_talk","theme":"mauve","voice":7,"speed":9,"checked":true,"odd":1}');
	assert.deepEqual(kept, { ...DEFAULTS, mode: 'push_to_talk', speed: 2, checked: true });
	assert.equal(parse('{"mode":"shout","speed":"fast"}').speed, null);
});
