// Wiring: what people do and what comes over the wire become events; what the state wants done is done here.

import { connection } from './connection.js';
import { words } from './conversation.js';
import { faultOf, microphone } from './microphone.js';
import { playback } from './playback.js';
import { load, save } from './preferences.js';
import { socketAddress, startMessage, subprotocols } from './protocol.js';
import { situation } from './situation.js';
import { initial, reduce, sending } from './state.js';
import { drawer, open, page } from './views/drawer.js';
import { shape } from './views/shape.js';
import { wordList } from './views/words.js';

/** A press this long is talking, a shorter one a tap, ms. */
const HOLD = 300;
/** How often the server hears how far its reply was heard, and is asked whether its models are warm, ms. */
const [PLAYED_EVERY, READY_EVERY] = [100, 1000];
/** Milliseconds of a microphone frame, and how many levels are kept for the timelines: ten minutes. */
const [FRAME, LEVELS_KEEP] = [32, 20_000];
/** Microphone frames kept while the line is lost: four seconds. More would be said into a conversation that moved on. */
const KEPT = 125;
/** Bins of the voice's spectrum (47 Hz each) that move the shape, and how loud they get. */
const [BANDS, LOUD] = [[[2, 8], [8, 18], [18, 40], [40, 90]], 190];

const preferences = load();
let state = initial(preferences.mode);
/** Frames sent, and their levels since frame `from`: the clock that the server's `at_ms` counts on. */
const sent = { frames: 0, from: 0, levels: /** @type {number[]} */ ([]) };
/** Frames for the room check, while it runs. @type {Int16Array[] | null} */
let checking = null;
let level = 0;
let told = { reply: '', ms: 0, now: 0 };
/** The last reply, whether its server could be told or not. @type {Played | null} */
let heard = null;
/** Microphone sound while the line is lost, to be sent when the conversation goes on. @type {{ pcm: ArrayBuffer, loud: number }[]} */
let kept = [];
let [ticketRequired, byPassword] = [false, true];
/** @type {WakeLockSentinel | null | undefined} */
let awake;

const line = connection({
	opened: () => line.send(startMessage(preferences, state.session, heard)),
	message(message) {
		if (message.type === 'error' && message.code === 'bad_ticket') ticketRequired = true;
		if (message.type === 'session' && !message.resumed) Object.assign(sent, { frames: 0, from: 0, levels: [] });
		const measured = { at: sent.frames * FRAME, rtt_ms: line.rtt, buffer_ms: voice.store };
		dispatch({ type: 'message', message, now: performance.now(), ...measured });
		if (message.type === 'session') goOn(message.resumed);
	},
	audio: (pcm) => voice.add(pcm),
	closed: (code) => dispatch({ type: 'closed', code, now: performance.now(), random: Math.random() }),
});
const voice = playback((reply, ms, done) => {
	tell(reply, ms, done);
	dispatch({ type: 'sound', reply, ms, at: sent.frames * FRAME, done });
});
const ear = microphone(hear, (mic) => dispatch({ type: 'mic', mic }));
const body = shape(page.shape.firstElementChild, () => ({ mic: sending(state) ? Math.min(1, level * 6) : 0, voice: bands() }));
const showWords = wordList(page.words, page.entries, explain);
const settings = drawer(preferences, prefer);

// ---- events in, commands out

/** @param {PageEvent} event */
function dispatch(event) {
	const [next, commands] = reduce(state, event);
	const same = next === state;
	state = next;
	for (const command of commands) /** @type {any} */ (obey)[command.do](command);
	if (!same) render();
}

/** @type {Orders} */
const obey = {
	async connect() {
		const { ticket } = ticketRequired ? await import('./ticket.js') : { ticket: null };
		const given = await ticket?.(byPassword);
		if (state.phase === 'idle' || state.phase === 'failed') return; // thought better of it meanwhile
		const { message, retry_after_ms } = given ?? {};
		if (!message) return line.open(socketAddress(document.baseURI), subprotocols(given?.ticket ?? null));
		const now = performance.now();
		if (!retry_after_ms) return dispatch({ type: 'refused', message });
		const busy = { type: /** @type {const} */ ('error'), code: 'busy', message, retryable: true, retry_after_ms };
		dispatch({ type: 'message', message: busy, now, at: 0, rtt_ms: 0, buffer_ms: 0 });
		dispatch({ type: 'closed', code: 1013, now, random: Math.random() });
	},
	disconnect: () => line.close(),
	send: ({ message }) => line.send(message),
	microphone: ({ on }) => (on ? listen() : deafen()),
	begin: ({ reply, from_ms }) => voice.begin(reply, from_ms),
	voice: ({ action, reply }) => voice.set(action, reply),
	flush() {
		voice.flush();
		tell(told.reply, told.ms, true);
	},
	after: ({ ms, event }) => setTimeout(dispatch, ms, event),
};

/** How far a reply was heard. @type {(reply: string, ms: number, last: boolean) => void} */
function tell(reply, ms, last) {
	const now = performance.now();
	if (reply) heard = { reply_id: reply, ms: Math.round(ms) };
	const due = last || reply !== told.reply || now - told.now >= PLAYED_EVERY;
	if (due && reply) line.send({ type: 'played', ...{ reply_id: reply, ms: Math.round(ms) } });
	told = { reply: last ? '' : reply, ms, now: due ? now : told.now };
}

/** What it offers, once its models are warm; until then, how far they are. */
async function ask() {
	const readiness = await fetch('ready').then((answer) => answer.json()).catch(() => null);
	if (readiness) dispatch({ type: 'readiness', readiness, now: performance.now() });
	if (readiness?.ready === false) return void setTimeout(ask, READY_EVERY);
	const options = await fetch('api/options').then((answer) => answer.json()).catch(() => null);
	ticketRequired = !!options?.ticket_required;
	byPassword = options?.password !== false;
	if (options) Object.assign(preferences, settings.offer(options));
}

// ---- sound

async function listen() {
	if (!isSecureContext || !navigator.mediaDevices) return dispatch({ type: 'mic', mic: 'insecure' });
	try {
		if (await ear.open(preferences)) dispatch({ type: 'mic', mic: 'on' });
		void settings.listMicrophones();
		await stayAwake();
	} catch (error) {
		ear.close();
		dispatch({ type: 'mic', mic: faultOf(error) });
	}
}

/** A phone on the kitchen table must not fall asleep in the middle of a recipe. */
async function stayAwake() {
	if (state.mic === 'on' && !document.hidden) awake = await navigator.wakeLock?.request('screen').catch(() => null);
}

function deafen() {
	ear.close();
	void awake?.release();
	awake = null;
	level = 0;
}

/** @type {(pcm: ArrayBuffer, loud: number) => void} */
function hear(pcm, loud) {
	level = loud;
	settings.meter(loud);
	checking?.push(new Int16Array(pcm.slice(0)));
	if (sending(state)) speak(pcm, loud, false);
	else if (state.session && /connecting/.test(state.phase) && sending({ ...state, phase: 'open' })) kept = [...kept, { pcm, loud }].slice(-KEPT);
}

/** What was said while the line was lost, if it is still the same conversation. @type {(resumed: boolean) => void} */
function goOn(resumed) {
	if (!resumed) heard = null;
	for (const { pcm, loud } of kept.splice(0)) if (resumed) speak(pcm, loud, true);
}

/** @type {(pcm: ArrayBuffer, loud: number, late: boolean) => void} */
function speak(pcm, loud, late) {
	if (!line.sendAudio(pcm, late)) return;
	sent.frames += 1;
	sent.levels.push(loud);
	if (sent.levels.length > LEVELS_KEEP) sent.from += sent.levels.splice(0, LEVELS_KEEP / 2).length;
}

/** Loudness of the voice by bands, low to high, 0-1. */
function bands() {
	const bins = new Uint8Array(128);
	voice.analyser?.getByteFrequencyData(bins);
	return BANDS.map(([from, to]) => Math.min(1, (bins.subarray(from, to).reduce((a, b) => a + b, 0) / (to - from) / LOUD) ** 1.5));
}

// ---- the page

let ticking = 0;

/** @type {(thing: any, facts: Record<string, unknown>) => void} */
function put(thing, facts) {
	for (const [name, fact] of Object.entries(facts)) if (thing[name] !== fact) thing[name] = fact;
}

function render() {
	const { say, facts, progress } = situation(state, performance.now());
	const { phase, mic, mode, muted, reply, retry, entries } = state;
	const title = page[`say-${say}`];
	const hint = title.nextSibling.textContent.replace(/{(\w+)}/g, (/** @type {string[]} */ ...found) => facts[found[1]]);
	put(page.shape, { ariaLabel: title.dataset.action });
	put(page.status, { textContent: title.textContent });
	put(page.hint, { textContent: hint });
	put(page.loading, { hidden: progress === undefined, value: progress ?? 0 });
	put(page.mute, { disabled: phase !== 'open' || mic !== 'on' || mode !== 'open_mic', ariaPressed: `${muted}` });
	put(page.stop, { disabled: !reply?.sounding });
	put(page.end, { disabled: phase === 'idle' || phase === 'loading' });
	put(page.push, { ariaPressed: `${mode !== 'open_mic'}` });
	document.body.dataset.now = say;
	document.body.classList.toggle('has-words', entries.length > 0);
	body.show(title.dataset.look);
	showWords(entries);
	// What counts seconds is told again by the clock.
	if (retry || phase === 'loading') ticking ||= setInterval(render, 1000);
	else if (ticking) ticking = (clearInterval(ticking), 0);
}

/** @type {(entry: Entry, place: HTMLElement) => Promise<void>} */
async function explain(entry, place) {
	const { explained } = await import('./views/explained.js');
	place.append(...explained(entry, state.flight, { frame_ms: FRAME, ...sent }, place.clientWidth - 32));
	place.scrollIntoView({ block: 'nearest' });
}

/** @param {Partial<Preferences>} changed */
function prefer(changed) {
	Object.assign(preferences, changed);
	save(preferences);
	const { theme, announce, checked, mode } = preferences;
	const has = (/** @type {string[]} */ ...names) => names.some((name) => name in changed);
	document.documentElement.dataset.theme = theme;
	page.log.ariaLive = announce ? 'polite' : 'off';
	page.offer.hidden = checked;
	settings?.setMode(mode);
	body.recolour();
	if (has('microphone', 'processing') && state.mic === 'on') void listen();
	if (has('mode', 'voice', 'language', 'speed', 'instructions')) dispatch({ type: 'settings', mode });
}

// ---- hands

let down = 0;

function press() {
	if (down) return;
	down = performance.now();
	page.shape.classList.add('down');
	voice.wake();
	dispatch({ type: 'press' });
}

function release() {
	if (!down) return;
	const long = performance.now() - down >= HOLD;
	down = 0;
	page.shape.classList.remove('down');
	voice.wake();
	dispatch({ type: 'release', long });
}

/** @param {string} text */
function say(text) {
	voice.wake();
	dispatch({ type: 'say', text });
}

async function check() {
	prefer({ checked: true });
	voice.wake();
	const borrowed = state.mic !== 'on';
	if (borrowed) await listen();
	if (state.mic !== 'on' || !voice.context) return put(page.verdict, { textContent: page.hint.textContent });
	const { checkRoom } = await import('./views/check.js');
	await checkRoom(voice.context, (checking = []));
	checking = null;
	if (!borrowed || state.phase !== 'idle') return;
	deafen();
	dispatch({ type: 'mic', mic: 'off' });
}

function saveWords() {
	const href = URL.createObjectURL(new Blob([words.asText(state.entries)], { type: 'text/plain' }));
	Object.assign(document.createElement('a'), { href, download: 'conversation.txt' }).click();
	URL.revokeObjectURL(href);
}

/** What buttons with `data-do` do, and keys. @type {Record<string, (button: HTMLElement) => unknown>} */
const ACTS = {
	mute: () => dispatch({ type: 'mute' }),
	stop: () => dispatch({ type: 'stop' }),
	end: () => dispatch({ type: 'end' }),
	clear: () => dispatch({ type: 'clear' }),
	push: () => prefer({ mode: state.mode === 'open_mic' ? 'push_to_talk' : 'open_mic' }),
	copy: () => navigator.clipboard?.writeText(words.asText(state.entries)),
	save: saveWords,
	open: ({ dataset }) => open(page[`${dataset.what}`]),
	type: () => page.typed.focus(),
	keys: () => open(page.keys),
	leave: () => page.entry.close(),
	skip: () => prefer({ checked: true }),
	check,
	choose({ dataset }) {
		page.check.close();
		prefer({ mode: /** @type {Mode} */ (dataset.what) });
	},
	say: ({ textContent }) => say(`${textContent}`),
};

/** @type {Record<string, string>} */
const KEYS = { Escape: 'stop', m: 'mute', M: 'mute', '/': 'type', '?': 'keys' };

addEventListener('click', ({ target }) => {
	const button = /** @type {Element} */ (target).closest('button');
	ACTS[`${button?.dataset.do}`]?.(/** @type {HTMLElement} */ (button));
});

addEventListener('keydown', (event) => {
	const { key, ctrlKey, metaKey, altKey } = event;
	const at = /** @type {Element} */ (event.target);
	const elsewhere = document.querySelector('dialog[open]') || (at.closest('input') && key !== 'Escape');
	if (ctrlKey || metaKey || altKey || elsewhere) return;
	const act = key === ' ' && !at.closest('button:not(#shape)') ? press : ACTS[KEYS[key]];
	if (!act) return;
	event.preventDefault();
	act(page.shape);
});

addEventListener('keyup', (event) => {
	if (event.key !== ' ' || !down) return;
	event.preventDefault();
	release();
});

addEventListener('blur', release);
document.onvisibilitychange = stayAwake;
addEventListener('online', () => dispatch({ type: 'online' }));

page.shape.onpointerdown = (/** @type {PointerEvent} */ { button, pointerId }) => {
	if (button) return;
	page.shape.setPointerCapture(pointerId);
	press();
};
page.shape.onpointerup = page.shape.onpointercancel = release;
page.shape.oncontextmenu = (/** @type {Event} */ event) => event.preventDefault();
// Enter, and the click that a screen reader makes: no pointer came before it.
page.shape.onclick = (/** @type {MouseEvent} */ { detail }) => detail || (press(), release());

page.typing.onsubmit = (/** @type {Event} */ event) => {
	event.preventDefault();
	say(page.typed.value);
	page.typed.value = '';
};

prefer({});
render();
void ask();
