// Why it answered then: your sound, when it took that for speech, the words as they came, each decision with its
// reason, and its own voice, on one line of time.

import { flightOf } from '../flight.js';
import { made } from './waterfall.js';

/** Pixels: the lanes' names, and the lanes from top to bottom. */
const LEFT = 62;
const LANES = { wave: 34, words: 78, reply: 104, decisions: 132 };
/** Width of a letter. */
const LETTER = 5.7;
/** Of a decision's mark; marks that would touch stand below each other. */
const MARK = 18;

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function drawn(tag, attributes, text = '') {
	const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
	element.textContent = text;
	return element;
}

/**
 * @param {FlightItem[]} flight @param {string} reply
 * @param {{ frame_ms: number, from: number, levels: number[] }} sound @param {number} width px
 */
export function timeline(flight, reply, sound, width) {
	const cut = flightOf(flight, reply);
	if (!cut) return null;
	/** @param {number} ms */
	const x = (ms) => LEFT + ((ms - cut.start) / (cut.end - cut.start)) * (width - LEFT - 4);
	const rows = rowsOf(cut.decisions.map(({ at }) => x(at)));
	const bottom = LANES.decisions + MARK * Math.max(0, ...rows) + 14;
	const picture = drawn('svg', { class: 'timeline', viewBox: `0 0 ${width} ${bottom + 16}`, role: 'img' });
	picture.ariaLabel = `Timeline of ${((cut.end - cut.start) / 1000).toFixed(1)} seconds; the decisions are listed below.`;
	picture.append(...axis(cut.start, cut.end, x, bottom), ...names(), ...wave(cut, sound, x), ...words(cut.words, x, width), ...voice(cut, x));
	cut.decisions.forEach((decision, i) => {
		const [at, y] = [x(decision.at), LANES.decisions + MARK * rows[i]];
		picture.append(drawn('circle', { class: 'mark', cx: at, cy: y, r: MARK / 2 - 1 }), drawn('text', { x: at, y: y + 3.5 }, String(i + 1)));
	});
	return made('section', '', made('h2', '', 'Why it answered then'), picture, list(cut.decisions, cut.start));
}

/** @typedef {(ms: number) => number} Scale */

const names = () =>
	Object.entries({ wave: 'You', words: 'Words', decisions: 'Decisions', reply: 'Antiphon' }).map(([lane, name]) =>
		drawn('text', { class: 'name', x: 0, y: /** @type {Record<string, number>} */ (LANES)[lane] + 4 }, name));

/** The first row in which each mark has room. @param {number[]} places px, left to right */
function rowsOf(places) {
	const ends = /** @type {number[]} */ ([]);
	return places.map((at) => {
		const free = ends.findIndex((end) => end <= at);
		const row = free < 0 ? ends.length : free;
		ends[row] = at + MARK;
		return row;
	});
}

/** @param {number} start @param {number} end @param {Scale} x @param {number} bottom */
function axis(start, end, x, bottom) {
	const step = [250, 500, 1000, 2000, 5000].find((ms) => (end - start) / ms <= 8) ?? 10_000;
	const ticks = [];
	for (let ms = 0; start + ms <= end; ms += step) {
		const at = x(start + ms);
		ticks.push(drawn('line', { class: 'grid', x1: at, x2: at, y1: 8, y2: bottom - 4 }));
		ticks.push(drawn('text', { x: at, y: bottom + 11, 'text-anchor': ms ? 'middle' : 'start' }, `${ms / 1000} s`));
	}
	return ticks;
}

/**
 * @param {{ start: number, end: number, speech: { start: number, end: number }[] }} cut
 * @param {{ frame_ms: number, from: number, levels: number[] }} sound @param {Scale} x
 */
function wave({ start, end, speech }, { frame_ms, from, levels }, x) {
	const bars = [];
	const [top, bottom] = [10, 58];
	for (let frame = Math.ceil(start / frame_ms); frame * frame_ms < end; frame += 1) {
		const level = levels[frame - from];
		if (level === undefined) continue;
		const at = frame * frame_ms;
		const high = Math.max(1.5, Math.min(1, Math.sqrt(level * 4)) * 22);
		const said = speech.some((span) => at >= span.start && at < span.end);
		bars.push(drawn('rect', { class: said ? 'wave said' : 'wave', x: x(at), y: LANES.wave - high, width: Math.max(1, x(frame_ms) - x(0) - 0.6), height: 2 * high, rx: 1 }));
	}
	const spans = speech.map((span) => {
		const [a, b] = [x(Math.max(start, span.start)), x(Math.min(end, span.end))];
		return drawn('rect', { class: 'span', x: a, y: top, width: Math.max(1, b - a), height: bottom - top, rx: 4 });
	});
	return [...spans, ...bars];
}

/** The words where they came, the last first: what was final in full, if need be further left; of the others what
 * there is room for. @param {Extract<FlightItem, { kind: 'words' }>[]} words @param {Scale} x @param {number} width */
function words(words, x, width) {
	const shown = [];
	let right = width;
	for (const { at, text, final } of words.toReversed()) {
		const left = final ? Math.max(LEFT, Math.min(x(at), right - text.length * LETTER)) : x(at);
		const room = Math.floor((right - left) / LETTER);
		if (room < 4 || !text) continue;
		const fits = text.length > room ? `${text.slice(0, room - 1)}…` : text;
		shown.push(drawn('text', { class: final ? 'heard' : '', x: left, y: LANES.words + 4 }, fits));
		right = left - LETTER;
	}
	return shown;
}

/** @param {{ sound: { start: number, end: number, what: string }[], end: number }} cut @param {Scale} x */
const voice = ({ sound }, x) =>
	sound.map(({ start, end, what }) =>
		drawn('rect', { class: what === 'duck' || what === 'hold' ? 'reply low' : 'reply', x: x(start), y: LANES.reply - 6, width: Math.max(2, x(end) - x(start)), height: 12, rx: 4 }));

/** `wait_ms: 200` → "wait 200 ms". @param {string} key @param {unknown} value */
function figure(key, value) {
	const [, name, unit = ''] = key.match(/^(.*?)(?:_(ms|s|db))?$/) ?? ['', key];
	const told = typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
	return `${name.replaceAll('_', ' ')} ${told}${unit && ` ${unit}`}`;
}

/** @param {Extract<FlightItem, { kind: 'decision' }>[]} decisions @param {number} start */
function list(decisions, start) {
	const items = decisions.map(({ at, name, reason, details }, i) => {
		const figures = Object.entries(details ?? {}).map(([key, value]) => figure(key, value));
		const text = made('span', '', made('b', '', name.replaceAll('_', ' ')), ` ${reason} `, made('small', '', figures.join(' · ')));
		return made('li', '', made('span', 'number', String(i + 1)), made('time', '', `${((at - start) / 1000).toFixed(2)} s`), text);
	});
	return made('ol', 'decisions', ...items);
}
