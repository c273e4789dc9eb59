// The page's state and how it changes: (state, event) → [state, what the shell is to do]. Pure: time, chance and
// the outside come in with the events. The words are conversation.js's, the sentences situation.js's.

import { words } from './conversation.js';
import { loadingProgress } from './situation.js';

/** Flight recorder entries kept (ten minutes of lively talk), and typed turns while there is no connection. */
const [FLIGHT_KEEP, OUTBOX_KEEP] = [2000, 5];
/** How long a passing remark ("You interrupted") stays, ms. */
const MOMENT = 2500;
/** Sound still on its way from the microphone when push-to-talk is let go, ms. */
const TAIL = 120;
/** A turn handed over and not taken up for so long held no words, ms. */
const LULL = 8000;
/** The first and the longest wait before a reconnect, and the wait when busy, ms. */
const [BACKOFF, BACKOFF_MOST, BUSY] = [400, 15_000, 5000];
/** Letters a ms of an unhurried English voice; corrected by every reply that is heard. */
const PACE = 0.014;

/** How each connection starts. @satisfies {Partial<State>} */
const QUIET = { held: false, latched: false, press: null, hearing: false, thinking: false, leaving: null };

/** @type {(mode: Mode) => State} */
export const initial = (mode) => ({
	...QUIET,
	...{ phase: 'idle', mic: 'off', mode, muted: false, moment: '', reply: null, session: null, retry: null },
	...{ stale: false, wanted: false, loading: null, problem: null, outbox: [], entries: [], flight: [], pace: PACE },
});

/** Whether microphone sound goes to the server now. @type {(s: State) => boolean} */
export const sending = ({ phase, mic, held, latched, mode, muted }) =>
	phase === 'open' && mic === 'on' && (held || latched || (mode === 'open_mic' && !muted));

/** Wait before reconnect `attempt` (from 1): doubling, half of it chance. @type {(attempt: number, random: number) => number} */
export const backoff = (attempt, random) => Math.min(BACKOFF_MOST, BACKOFF * 2 ** (attempt - 1)) * (0.5 + random / 2);

/** @type {(state: State, event: PageEvent) => [State, Command[]]} */
export function reduce(state, event) {
	const commands = /** @type {Command[]} */ ([]);
	const s = /** @type {any} */ (on)[event.type](state, event, (/** @type {Command} */ command) => commands.push(command));
	const quiet = !(s.reply || s.hearing || s.thinking || s.held);
	if (!s.stale || s.phase !== 'open' || !quiet) return [s, commands];
	// Changed settings, or a server about to go, waited for this moment.
	return [{ ...s, stale: false, phase: 'connecting' }, [...commands, { do: 'connect' }]];
}

/** @type {(type: string, more?: object) => Command} */
const send = (type, more) => ({ do: 'send', message: { type, ...more } });

/** @type {(ms: number, event: PageEvent) => Command} */
const after = (ms, event) => ({ do: 'after', ms, event });

/** @type {Steps} */
const on = {
	// The shape or space goes down: what is being said stops at once.
	press(s, _, run) {
		if (s.phase !== 'open' || s.mic !== 'on' || s.press) return s;
		return { ...on.stop(s, { type: 'stop' }, run), held: true, press: { stopped: !!s.reply?.sounding, latched: s.latched } };
	},
	// It comes up. A long press was a turn; a short one is a tap, which starts, stops what is being said, mutes,
	// or in push-to-talk begins and ends a turn.
	release(s, { long }, run) {
		const { press } = s;
		if (!press) return started(s, true, run);
		if (long || press.latched) {
			run(after(TAIL, { type: 'tail' }));
			return { ...s, press: null, latched: false };
		}
		const up = { ...s, press: null, held: false };
		if (press.stopped) return up;
		return s.mode === 'push_to_talk' ? { ...up, latched: true } : on.mute(up, { type: 'mute' }, run);
	},
	tail(s, _, run) {
		if (s.phase !== 'open') return { ...s, held: false };
		run(send('commit'));
		run(after(LULL, { type: 'lull' }));
		return { ...s, held: false, thinking: true };
	},
	lull: (s) => (s.reply ? s : { ...s, thinking: false }),
	mute(s, _, run) {
		if (s.phase !== 'open') return s;
		if (!s.muted && s.hearing) run(send('commit'));
		return { ...s, muted: !s.muted, hearing: false };
	},
	stop(s, _, run) {
		if (!s.reply?.sounding) return s;
		run({ do: 'flush' });
		run(send('interrupt'));
		return passing({ ...s, reply: null }, 'stopped', run);
	},
	say(s, { text: typed }, run) {
		const text = typed.trim();
		if (!text) return s;
		const next = { ...on.stop(s, { type: 'stop' }, run), entries: words.typed(s.entries, text), thinking: true };
		if (s.phase !== 'open') return { ...started(next, false, run), outbox: [...s.outbox, text].slice(-OUTBOX_KEEP) };
		run(send('text', { text }));
		return next;
	},
	end(s, _, run) {
		run(send('bye'));
		run({ do: 'flush' });
		run({ do: 'disconnect' });
		run({ do: 'microphone', on: false });
		const { mode, session, entries, flight, pace } = s;
		const note = session && talked(s) ? words.noted(entries, 'Ended. What comes next is a new conversation.') : entries;
		return { ...initial(mode), entries: note, flight, pace };
	},
	clear: (s) => ({ ...s, entries: [] }),
	settings: (s, { mode }) => ({ ...s, mode, latched: false, muted: false, stale: s.phase === 'open' }),
	move: (s) => ({ ...s, stale: s.phase === 'open' }),
	settle: (s) => ({ ...s, moment: '' }),
	mic: (s, { mic }) => ({ ...s, mic }),
	readiness(s, { readiness, now }, run) {
		const calm = s.phase === 'idle' || s.phase === 'loading';
		if (!readiness.ready) {
			const { since, first } = s.loading ?? { since: now, first: loadingProgress(readiness).fraction };
			return { ...s, phase: calm ? 'loading' : s.phase, loading: { readiness, since, first } };
		}
		/** @type {State} */
		const next = { ...s, loading: null, phase: calm ? 'idle' : s.phase };
		return calm && s.wanted ? started(next, false, run) : next;
	},
	refused(s, { message }, run) {
		run({ do: 'disconnect' });
		run({ do: 'microphone', on: false });
		return { ...s, ...QUIET, phase: 'failed', mic: 'off', problem: { code: 'refused', message } };
	},
	closed(s, { code, now, random }, run) {
		if (s.phase === 'idle' || s.phase === 'failed') return s;
		// Nothing was said for too long, or another connection has it now.
		if (code === 1000 || code === 4000) return on.end(s, { type: 'end' }, run);
		const { attempt: before, at, since } = s.retry ?? { attempt: 0, at: 0, since: now };
		const waits = code === 1013 || s.problem?.code === 'busy';
		// Whoever is in a conversation and meets a server that cannot take it up just now is on the way back.
		const busy = waits && !(s.session && s.problem && s.problem.code !== 'busy');
		const asked = s.leaving ?? (waits && at > now ? at - now : null);
		const attempt = before + 1;
		const ms = asked ?? (busy ? BUSY * (1 + random / 2) : backoff(attempt, random));
		run(after(ms, { type: 'retry', attempt }));
		return { ...s, ...QUIET, phase: busy ? 'busy' : 'reconnecting', retry: { attempt, at: now + ms, since } };
	},
	retry: (s, { attempt }, run) => (s.retry?.attempt === attempt ? on.online(s, { type: 'online' }, run) : s),
	online(s, _, run) {
		if (!s.retry) return s;
		run({ do: 'connect' });
		return { ...s, problem: null, retry: { ...s.retry, at: 0 }, phase: s.phase === 'busy' ? 'connecting' : s.phase };
	},
	sound(s, { reply: id, ms, at, done }) {
		const next = { ...s, entries: words.spokenTo(s.entries, id, ms, done, s.pace) };
		if (s.reply?.id !== id) return next;
		if (done) return { ...marked(next, id, at, 'end'), reply: null, thinking: false };
		if (s.reply.sounding) return next;
		return { ...marked(next, id, at, 'sound'), thinking: false, reply: { ...s.reply, sounding: true } };
	},
	message(s, event, run) {
		const { message } = event;
		const seq = message.seq ?? 0;
		if (s.session && s.phase === 'open' && seq) {
			if (seq <= s.session.seq) return s;
			s = { ...s, session: { ...s.session, seq } };
		}
		return /** @type {any} */ (told)[message.type](s, message, event, run);
	},
};

/** What the server says. @type {Sayings} */
const told = {
	session(s, { session_id: id, epoch, resume_token: token, resumed, seq = 0 }, _, run) {
		for (const text of s.outbox) run(send('text', { text }));
		const session = { id, epoch, token, seq: resumed && s.session ? s.session.seq : seq };
		/** @type {State} */
		let next = { ...s, phase: 'open', session, retry: null, leaving: null, problem: null, loading: null, outbox: [] };
		next.thinking = s.outbox.length > 0;
		if (!s.session) return next;
		if (!resumed) {
			run({ do: 'flush' });
			const note = 'A new conversation: it does not remember what is above.';
			next = { ...next, reply: null, flight: [], entries: talked(s) ? words.noted(s.entries, note) : s.entries };
		}
		return passing(next, resumed ? 'back' : 'fresh', run);
	},
	speech_started: (s, { at_ms: at }) => ({ ...recorded(s, { kind: 'speech', at, on: true }), hearing: true, thinking: false }),
	speech_stopped: (s, { at_ms: at }) => ({ ...recorded(s, { kind: 'speech', at, on: false }), hearing: false }),
	transcript(s, message, { at }, run) {
		const { text, final } = message;
		const next = { ...recorded(s, { kind: 'words', at, text, final }), entries: words.transcribed(s.entries, message) };
		if (!final) return next;
		// Words that were seen, or a turn that was handed over, and nothing came of it: say so.
		const missed = !text && (s.thinking || next.entries.length < s.entries.length);
		return { ...(missed ? passing(next, 'missed', run) : next), thinking: !!text, hearing: false };
	},
	decision: (s, { at_ms: at, kind: name, reason, details }) => recorded(s, { kind: 'decision', at, name, reason, details }),
	// That the history is gone is said by `session`, with or without this notice.
	notice(s, { kind, message }) {
		if (kind === 'history') return s;
		// Its server died: words of a turn that nobody goes on with would stay grey for ever.
		const entries = kind === 'turn_lost' ? s.entries.filter(({ who, final }) => who !== 'you' || final) : s.entries;
		return { ...s, entries: words.noted(entries, message) };
	},
	going_away(s, { reconnect_in_ms }, _, run) {
		run(after(reconnect_in_ms, { type: 'move' }));
		return { ...s, leaving: reconnect_in_ms };
	},
	error(s, { code, message, retry_after_ms }, { now }, run) {
		const problem = { code, message };
		// Whoever is not let in, and told when to come back, comes back.
		if (code === 'busy' || (s.phase !== 'open' && retry_after_ms)) {
			const { attempt, since } = s.retry ?? { attempt: 0, since: now };
			return { ...s, problem, retry: { attempt, since, at: now + (retry_after_ms ?? BUSY) } };
		}
		if (s.phase !== 'open') return on.refused(s, { type: 'refused', message }, run);
		if (code.startsWith('budget')) return { ...s, problem, thinking: false };
		return { ...s, thinking: false, entries: words.noted(s.entries, message) };
	},
	pong: (s) => s,
	response_started: (s, { reply_id: id }, { at }) => ({ ...marked(s, id, at, 'asked'), reply: { id, sounding: false, action: '' }, thinking: true }),
	response_text: (s, { reply_id: id, text }) => ({ ...s, entries: words.written(s.entries, id, text) }),
	audio_started(s, { reply_id: id, from_ms = 0 }, _, run) {
		run({ do: 'begin', reply: id, from_ms });
		const reply = s.reply?.id === id ? s.reply : { id, sounding: false, action: /** @type {const} */ ('') };
		return { ...s, reply, entries: words.voiced(s.entries, id) };
	},
	audio_done(s, { reply_id: id, total_ms }, _, run) {
		run({ do: 'voice', action: 'finish', reply: id });
		const length = s.entries.find(({ key }) => key === id)?.text.length ?? 0;
		return length && total_ms > 500 ? { ...s, pace: length / total_ms } : s;
	},
	playback(s, { reply_id: id, action }, { at }, run) {
		if (s.reply?.id !== id) return s;
		run({ do: 'voice', action, reply: id });
		return { ...marked(s, id, at, action), reply: { ...s.reply, action: action === 'resume' ? '' : action } };
	},
	interrupted(s, { reply_id: id, heard_text }, { at }, run) {
		run({ do: 'flush' });
		const entries = words.cutOff(s.entries, id, heard_text);
		const next = { ...marked(s, id, at, 'cut'), entries, reply: s.reply?.id === id ? null : s.reply };
		return s.moment === 'stopped' ? next : passing(next, 'interrupted', run);
	},
	response_done(s, { reply_id: id, text, latency_ms, stages = [], usage }, { at, rtt_ms, buffer_ms }) {
		const entries = words.finished(s.entries, id, text, { stages, latency_ms, rtt_ms, buffer_ms, usage });
		const next = { ...marked(s, id, at, 'done'), entries };
		// The server is done when all has been sent; a voice is done when it was heard, and that comes as `sound`.
		const silent = !entries.some(({ key, voiced }) => key === id && voiced);
		return s.reply?.id === id && silent ? { ...next, reply: null, thinking: false } : next;
	},
};

/** @type {(s: State) => boolean} */
const talked = ({ entries }) => entries.some(({ who }) => who !== 'note');

/** @type {(s: State, item: FlightItem) => State} */
const recorded = (s, item) => ({ ...s, flight: [...s.flight, item].slice(-FLIGHT_KEEP) });

/** @type {(s: State, reply: string, at: number, what: SoundItem) => State} */
const marked = (s, reply, at, what) => recorded(s, { kind: 'reply', at, reply, what });

/** A remark that passes by itself. @type {(s: State, moment: State['moment'], run: Do) => State} */
function passing(s, moment, run) {
	run(after(MOMENT, { type: 'settle' }));
	return { ...s, moment };
}

/** @type {(s: State, microphone: boolean, run: Do) => State} */
function started(s, microphone, run) {
	const ask = microphone && s.mic !== 'on';
	if (ask) run({ do: 'microphone', on: true });
	const next = ask ? { ...s, mic: /** @type {const} */ ('asking') } : s;
	if (s.phase === 'open' || s.phase === 'connecting') return next;
	if (s.phase === 'loading') return { ...next, wanted: true };
	run({ do: 'connect' });
	return { ...next, phase: 'connecting', problem: null, retry: null, wanted: false };
}
