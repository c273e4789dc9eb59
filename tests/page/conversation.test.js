import assert from 'node:assert/strict';
import { test } from 'node:test';

import { words } from '../../src/antiphon/web/conversation.js';

const LATENCY = { stages: [], latency_ms: { first_sound: 480 }, rtt_ms: 0, buffer_ms: 0, usage: undefined };
const texts = (entries) => entries.map(({ who, text }) => `${who}: ${text}`);

test('what is heard appears as it is heard, in one entry', () => {
	let entries = words.transcribed([], { turn_id: 't1', text: 'What is', final: false });
	assert.equal(entries[0].final, false);
	entries = words.transcribed(entries, { turn_id: 't1', text: 'What is the time?', final: true });
	assert.deepEqual(texts(entries), ['you: What is the time?']);
	assert.equal(entries[0].final, true);
});

test('a turn that turns out to be noise leaves nothing behind', () => {
	const entries = words.transcribed([], { turn_id: 't1', text: 'Thank', final: false });
	assert.deepEqual(words.transcribed(entries, { turn_id: 't1', text: '', final: true }), []);
	assert.deepEqual(words.transcribed([], { turn_id: 't2', text: '', final: true }), []);
});

test('a typed turn is shown once, though the server tells of it too', () => {
	let entries = words.typed([], 'Hello there');
	entries = words.transcribed(entries, { turn_id: 't1', text: 'Hello there', final: true });
	assert.deepEqual(entries.map(({ key }) => key), ['t1']);
	entries = words.typed(entries, 'Hello there');
	assert.equal(new Set(entries.map(({ key }) => key)).size, 2);
});

test('a reply grows piece by piece, and its spoken part follows the sound by whole words', () => {
	let entries = words.written([], 'r1', 'The capital of France ');
	entries = words.voiced(words.written(entries, 'r1', 'is Paris.'), 'r1');
	entries = words.spokenTo(entries, 'r1', 500, false, 0.014);
	assert.equal(entries[0].text.slice(0, entries[0].spoken), 'The capital');
	entries = words.spokenTo(entries, 'r1', 100, false, 0.014);
	assert.equal(entries[0].text.slice(0, entries[0].spoken), 'The capital', 'it never goes back');
	entries = words.spokenTo(entries, 'r1', 600, true, 0.014);
	assert.equal(entries[0].spoken, entries[0].text.length, 'all of it, when the sound is over');
});

test('a reply that never had a voice counts as said when it is done', () => {
	let entries = words.written([], 'r1', 'Only text.');
	entries = words.finished(entries, 'r1', 'Only text.', LATENCY);
	assert.equal(entries[0].spoken, 10);
	assert.equal(entries[0].latency.latency_ms.first_sound, 480);
});

test('the end of a reply does not claim words that are still to be heard', () => {
	let entries = words.voiced(words.written([], 'r1', 'One two three.'), 'r1');
	entries = words.finished(entries, 'r1', 'One two three.', LATENCY);
	assert.equal(entries[0].spoken, 0);
});

test('an interrupted reply is cut where it was heard, and stays so', () => {
	let entries = words.voiced(words.written([], 'r1', 'Here is a long story about a dog.'), 'r1');
	entries = words.cutOff(entries, 'r1', 'Here is a long');
	assert.equal(entries[0].text.slice(0, entries[0].cut), 'Here is a long');
	entries = words.spokenTo(entries, 'r1', 9000, true, 0.014);
	assert.equal(entries[0].spoken, entries[0].cut);
});

test('where the heard words end', () => {
	const cases = [
		['Hello, world! More.', 'Hello world', 'Hello, world!'],
		['**Paris** is big.', 'Paris is', '**Paris** is'],
		['It is 5 km away.', 'It is five kilometres', 'It is 5 km away.'],
		['Über Straße geht.', 'über straße', 'Über Straße'],
		['Anything.', '', ''],
		['Same.', 'Same. And more than there is', 'Same.'],
		['(One) two', 'one', '(One)'],
	];
	for (const [text, heard, kept] of cases) assert.equal(text.slice(0, words.heardEnd(text, heard)), kept, text);
});

test('the end of a word', () => {
	assert.equal(words.wordEnd('one two', 0), 0);
	assert.equal(words.wordEnd('one two', 1.5), 3);
	assert.equal(words.wordEnd('one two', 4), 7);
	assert.equal(words.wordEnd('one two', 99), 7);
	assert.equal(words.wordEnd('', 5), 0);
});

test('as text: who said what, only what was heard, no notes', () => {
	let entries = words.typed([], 'Tell me a story');
	entries = words.noted(entries, 'The voice is another one now.');
	entries = words.cutOff(words.written(entries, 'r1', 'Once upon a time'), 'r1', 'Once upon');
	assert.equal(words.asText(entries), 'You: Tell me a story\n\nAntiphon: Once upon [interrupted]\n');
	assert.equal(words.asText([]), '');
});

test('the same note is not said twice in a row, and old entries leave', () => {
	const once = words.noted([], 'Budget is low.');
	assert.equal(words.noted(once, 'Budget is low.'), once);
	let entries = [];
	for (let i = 0; i < 600; i += 1) entries = words.typed(entries, `${i}`);
	assert.equal(entries.length, 500);
	assert.equal(entries[0].text, '100');
	assert.equal(new Set(entries.map(({ key }) => key)).size, 500);
});
