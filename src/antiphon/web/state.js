// The page's state and how it changes: (state, event) → (state, what the shell is to do). Pure: time, chance
// and the outside come in with the events. Words are conversation.js's; sentences are phrases.js's.

import * as words from './conversation.js';
import { loadingProgress } from './phrases.js';

/** Flight recorder entries kept: about ten minutes of lively talk. */
const FLIGHT_KEEP = 2000;
/** A passing remark ("You interrupted") stays this long, ms. */
const MOMENT_MS = 2500;
/** Sound still on its way from the microphone when push-to-talk is let go, ms. */
const TAIL_MS = 120;
/** A turn handed over and not taken up for this long held no words, ms. */
const LULL_MS = 8000;
/** First and longest wait before a reconnect, ms. */
const BACKOFF_MS = 400;
const BACKOFF_MOST_MS = 15_000;
/** Typed turns kept while there is no connection. */
const OUTBOX_KEEP = 5;
/** Letters a second of an unhurried English voice; corrected by every reply that is heard. */
const FIRST_PACE = 14 / 1000;

/** @param {Mode} mode @returns {State} */
export const initial = (mode) => ({
  phase: 'idle',
  mic: 'off',
  mode,
  muted: false,
  held: false,
  latched: false,
  press: null,
  hearing: false,
  thinking: false,
  moment: '',
  reply: null,
  entries: [],
  session: null,
  retry: null,
  leaving: null,
  stale: false,
  wanted: false,
  loading: null,
  problem: null,
  outbox: [],
  pace: FIRST_PACE,
  flight: [],
});

/** Whether microphone sound goes to the server now. @param {State} state */
export const sending = (state) =>
  state.phase === 'open' &&
  state.mic === 'on' &&
  (state.held || state.latched || (state.mode === 'open_mic' && !state.muted));

/** Wait before reconnect `attempt` (from 1): doubling, with half of it chance. @param {number} attempt @param {number} random */
export const backoff = (attempt, random) =>
  Math.min(BACKOFF_MOST_MS, BACKOFF_MS * 2 ** (attempt - 1)) * (0.5 + random / 2);

/** @param {State} state @param {PageEvent} event @returns {[State, Command[]]} */
export function reduce(state, event) {
  /** @type {Command[]} */
  const commands = [];
  const next = step(state, event, (command) => void commands.push(command));
  return [settled(next, (command) => void commands.push(command)), commands];
}

/** @typedef {(command: Command) => void} Do */

/** @param {State} s @param {PageEvent} event @param {Do} run @returns {State} */
function step(s, event, run) {
  switch (event.type) {
    case 'press':
      return pressed(s, run);
    case 'release':
      return released(s, event.long, run);
    case 'tail':
      if (s.phase !== 'open') return { ...s, held: false };
      run({ do: 'send', message: { type: 'commit' } });
      run({ do: 'after', ms: LULL_MS, event: { type: 'lull' } });
      return { ...s, held: false, thinking: true };
    case 'mute':
      return s.phase === 'open' ? muted(s, run) : s;
    case 'stop':
      return stopped(s, run);
    case 'say':
      return said(s, event.text.trim(), run);
    case 'end':
      return ended(s, run);
    case 'clear':
      return { ...s, entries: [], flight: s.reply ? s.flight : [] };
    case 'settings':
      return { ...s, mode: event.mode, latched: false, muted: false, stale: s.phase === 'open' };
    case 'move':
      return { ...s, stale: s.phase === 'open' };
    case 'settle':
      return { ...s, moment: '' };
    case 'lull':
      return s.reply ? s : { ...s, thinking: false };
    case 'readiness':
      return readied(s, event, run);
    case 'mic':
      return { ...s, mic: event.mic };
    case 'refused':
      run({ do: 'microphone', on: false });
      return { ...s, phase: 'failed', mic: 'off', problem: { code: 'refused', message: event.message } };
    case 'closed':
      return closed(s, event, run);
    case 'online':
      return s.retry ? retried(s, run) : s;
    case 'retry':
      return s.retry?.attempt === event.attempt ? retried(s, run) : s;
    case 'sound':
      return sounded(s, event);
    case 'message':
      return received(s, event, run);
  }
}

/** What follows from any change: a reconnect that waited for a quiet moment. @param {State} s @param {Do} run */
function settled(s, run) {
  if (!s.stale || s.phase !== 'open' || s.reply || s.hearing || s.thinking || s.held) return s;
  run({ do: 'disconnect' });
  run({ do: 'connect' });
  return { ...s, stale: false, phase: /** @type {const} */ ('connecting') };
}

// ---- the shape, the keys, the box ---------------------------------------------------------------------------

/** @param {State} s @param {boolean} microphone @param {Do} run @returns {State} */
function started(s, microphone, run) {
  const mic = microphone && s.mic !== 'on' ? 'asking' : s.mic;
  if (microphone && s.mic !== 'on') run({ do: 'microphone', on: true });
  if (s.phase === 'open' || s.phase === 'connecting') return { ...s, mic };
  if (s.phase === 'loading') return { ...s, mic, wanted: true };
  run({ do: 'connect' });
  return { ...s, mic, phase: 'connecting', problem: null, retry: null, wanted: false };
}

/** The shape or space goes down: what is being said stops at once. @param {State} s @param {Do} run @returns {State} */
function pressed(s, run) {
  if (s.phase !== 'open' || s.mic !== 'on' || s.press) return s;
  const next = stopped(s, run);
  return { ...next, held: true, press: { stopped: !!s.reply?.sounding, latched: s.latched } };
}

/**
 * It comes up again. After a long press the turn is over; a short one is a tap, which starts, stops what is
 * being said, mutes, or in push-to-talk begins and ends a turn.
 * @param {State} s @param {boolean} long @param {Do} run @returns {State}
 */
function released(s, long, run) {
  const { press } = s;
  if (!press) return started(s, true, run);
  const up = { ...s, press: null };
  if (long || press.latched) {
    run({ do: 'after', ms: TAIL_MS, event: { type: 'tail' } });
    return { ...up, latched: false };
  }
  if (press.stopped) return { ...up, held: false };
  if (s.mode === 'push_to_talk') return { ...up, held: false, latched: true };
  return muted({ ...up, held: false }, run);
}

/** @param {State} s @param {Do} run @returns {State} */
function muted(s, run) {
  if (!s.muted && s.hearing) run({ do: 'send', message: { type: 'commit' } });
  return { ...s, muted: !s.muted, hearing: false };
}

/** @param {State} s @param {Do} run @returns {State} */
function stopped(s, run) {
  if (!s.reply?.sounding) return s;
  run({ do: 'flush' });
  run({ do: 'send', message: { type: 'interrupt' } });
  return passing({ ...s, reply: { ...s.reply, sounding: false } }, 'stopped', run);
}

/** @param {State} s @param {string} text @param {Do} run @returns {State} */
function said(s, text, run) {
  if (!text) return s;
  const next = { ...stopped(s, run), entries: words.typed(s.entries, text), thinking: true };
  if (s.phase === 'open') {
    run({ do: 'send', message: { type: 'text', text } });
    return next;
  }
  return { ...started(next, false, run), outbox: [...s.outbox, text].slice(-OUTBOX_KEEP) };
}

/** @param {State} s @param {Do} run @returns {State} */
function ended(s, run) {
  if (s.phase === 'open') run({ do: 'send', message: { type: 'bye' } });
  run({ do: 'flush' });
  run({ do: 'disconnect' });
  run({ do: 'microphone', on: false });
  const talked = s.session && s.entries.some((entry) => entry.who !== 'note');
  const entries = talked ? words.noted(s.entries, 'Ended. What comes next is a new conversation.') : s.entries;
  return { ...initial(s.mode), entries, flight: s.flight, pace: s.pace };
}

// ---- the connection -----------------------------------------------------------------------------------------

/** @param {State} s @param {{ readiness: Readiness, now: number }} event @param {Do} run @returns {State} */
function readied(s, { readiness, now }, run) {
  if (!readiness.ready) {
    const { since, first } = s.loading ?? { since: now, first: loadingProgress(readiness).fraction };
    const calm = s.phase === 'idle' || s.phase === 'loading';
    return { ...s, phase: calm ? 'loading' : s.phase, loading: { readiness, since, first } };
  }
  const next = { ...s, loading: null };
  if (s.phase !== 'loading') return next;
  const idle = { ...next, phase: /** @type {const} */ ('idle') };
  return s.wanted ? started(idle, false, run) : idle;
}

/** @param {State} s @param {{ code: number, now: number, random: number }} event @param {Do} run @returns {State} */
function closed(s, { code, now, random }, run) {
  if (s.phase === 'idle' || s.phase === 'failed') return s;
  if (code === 1000) return ended(s, run); // the server hung up: nothing was sent for too long
  const attempt = (s.retry?.attempt ?? 0) + 1;
  const busy = code === 1013 || s.problem?.code === 'busy';
  const asked = s.leaving ?? (busy && s.retry && s.retry.at > now ? s.retry.at - now : null);
  const ms = asked ?? (busy ? 5000 * (1 + random / 2) : backoff(attempt, random));
  run({ do: 'after', ms, event: { type: 'retry', attempt } });
  return {
    ...s,
    phase: busy ? 'busy' : 'reconnecting',
    retry: { attempt, at: now + ms, since: s.retry?.since ?? now },
    leaving: null,
    hearing: false,
    thinking: false,
    held: false,
    latched: false,
    press: null,
  };
}

/** @param {State} s @param {Do} run @returns {State} */
function retried(s, run) {
  run({ do: 'connect' });
  return { ...s, problem: null, retry: s.retry && { ...s.retry, at: 0 }, phase: s.phase === 'busy' ? 'connecting' : s.phase };
}

/** A remark that passes by itself. @param {State} s @param {State['moment']} moment @param {Do} run @returns {State} */
function passing(s, moment, run) {
  run({ do: 'after', ms: MOMENT_MS, event: { type: 'settle' } });
  return { ...s, moment };
}

// ---- what the server says -----------------------------------------------------------------------------------

/** @param {State} s @param {FlightItem} item @returns {State} */
const recorded = (s, item) => ({ ...s, flight: [...s.flight, item].slice(-FLIGHT_KEEP) });

/** @param {State} s @param {Extract<PageEvent, { type: 'message' }>} event @param {Do} run @returns {State} */
function received(s, event, run) {
  const { message, at } = event;
  if (message.type === 'session') return welcomed(s, message, run);
  const seq = message.seq ?? 0;
  if (s.session && seq && s.phase === 'open') {
    if (seq <= s.session.seq) return s;
    s = { ...s, session: { ...s.session, seq } };
  }
  switch (message.type) {
    case 'speech_started':
      return { ...recorded(s, { kind: 'speech', at: message.at_ms, on: true }), hearing: true, thinking: false };
    case 'speech_stopped':
      return { ...recorded(s, { kind: 'speech', at: message.at_ms, on: false }), hearing: false };
    case 'transcript': {
      const { text, final } = message;
      const entries = words.transcribed(s.entries, message);
      const thinking = final ? !!text : s.thinking;
      return { ...recorded(s, { kind: 'words', at, text, final }), entries, thinking, hearing: s.hearing && !final };
    }
    case 'decision': {
      const { at_ms, kind, reason, details } = message;
      return recorded(s, { kind: 'decision', at: at_ms, name: kind, reason, details });
    }
    case 'notice':
      // That the history is gone is said by `welcomed`, with or without this notice.
      return message.kind === 'history' ? s : { ...s, entries: words.noted(s.entries, message.message) };
    case 'going_away':
      run({ do: 'after', ms: message.reconnect_in_ms, event: { type: 'move' } });
      return { ...s, leaving: message.reconnect_in_ms };
    case 'error':
      return failed(s, message, event.now, run);
    case 'pong':
      return s;
    default:
      return answered(s, message, event, run);
  }
}

/** @param {State} s @param {Extract<ServerMessage, { type: 'session' }>} message @param {Do} run @returns {State} */
function welcomed(s, message, run) {
  const { session_id: id, epoch, resume_token: token, resumed } = message;
  const again = s.session !== null;
  const session = { id, epoch, token, seq: resumed && s.session ? s.session.seq : (message.seq ?? 0) };
  for (const text of s.outbox) run({ do: 'send', message: { type: 'text', text } });
  /** @type {State} */
  let next = { ...s, phase: 'open', session, retry: null, leaving: null, problem: null, loading: null, outbox: [] };
  if (again && !resumed) {
    run({ do: 'flush' });
    const talked = s.entries.some((entry) => entry.who !== 'note');
    const note = 'A new conversation: it does not remember what is above.';
    next = { ...next, reply: null, flight: [], entries: talked ? words.noted(s.entries, note) : s.entries };
  }
  next.thinking = s.outbox.length > 0;
  return again ? passing(next, resumed ? 'back' : 'fresh', run) : next;
}

/** @param {State} s @param {Extract<ServerMessage, { type: 'error' }>} message @param {number} now @param {Do} run @returns {State} */
function failed(s, { code, message, retry_after_ms }, now, run) {
  const problem = { code, message };
  if (code === 'busy') {
    const retry = { attempt: s.retry?.attempt ?? 0, at: now + (retry_after_ms ?? 5000), since: s.retry?.since ?? now };
    return { ...s, problem, retry };
  }
  if (s.phase !== 'open') {
    run({ do: 'disconnect' });
    return step(s, { type: 'refused', message }, run);
  }
  if (code.startsWith('budget')) return { ...s, problem, thinking: false };
  return { ...s, thinking: false, entries: words.noted(s.entries, message) };
}

/** @param {State} s @param {any} message @param {Extract<PageEvent, { type: 'message' }>} event @param {Do} run @returns {State} */
function answered(s, message, event, run) {
  const id = String(message.reply_id);
  const mine = s.reply?.id === id ? s.reply : null;
  /** @param {Extract<FlightItem, { kind: 'reply' }>['what']} what @returns {FlightItem} */
  const item = (what) => ({ kind: 'reply', at: event.at, reply: id, what });
  switch (message.type) {
    case 'response_started':
      return { ...recorded(s, item('asked')), reply: { id, sounding: false, action: '' }, thinking: true };
    case 'response_text':
      return { ...s, entries: words.written(s.entries, id, message.text) };
    case 'audio_started':
      run({ do: 'begin', reply: id, from_ms: message.from_ms ?? 0 });
      return { ...s, reply: mine ?? { id, sounding: false, action: '' }, entries: words.voiced(s.entries, id) };
    case 'audio_done': {
      run({ do: 'finish', reply: id, from_ms: message.total_ms });
      const length = s.entries.find((entry) => entry.key === id)?.text.length ?? 0;
      return length && message.total_ms > 500 ? { ...s, pace: length / message.total_ms } : s;
    }
    case 'playback': {
      if (!mine) return s;
      run({ do: 'voice', action: message.action });
      const action = message.action === 'resume' ? '' : message.action;
      return { ...recorded(s, item(message.action)), reply: { ...mine, action } };
    }
    case 'interrupted': {
      run({ do: 'flush' });
      const entries = words.cutOff(s.entries, id, message.heard_text);
      const next = { ...recorded(s, item('cut')), entries, reply: mine ? null : s.reply };
      return s.moment === 'stopped' ? next : passing(next, 'interrupted', run);
    }
    case 'response_done':
      return concluded(recorded(s, item('done')), message, event);
    default:
      return s;
  }
}

/** @param {State} s @param {Extract<ServerMessage, { type: 'response_done' }>} message
 * @param {Extract<PageEvent, { type: 'message' }>} event @returns {State} */
function concluded(s, { reply_id, text, latency_ms, stages, usage }, { rtt_ms, buffer_ms }) {
  const cost_usd = typeof usage?.cost_usd === 'number' ? usage.cost_usd : null;
  const latency = { stages: stages ?? [], latency_ms, rtt_ms, buffer_ms, cost_usd };
  const entries = words.finished(s.entries, reply_id, text, latency);
  // The server is done when all has been sent; the voice may still be a second from its end.
  const reply = s.reply?.id === reply_id && !s.reply.sounding ? null : s.reply;
  return { ...s, entries, reply, thinking: reply ? s.thinking : false };
}

/** @param {State} s @param {Extract<PageEvent, { type: 'sound' }>} event @returns {State} */
function sounded(s, { reply: id, ms, at, done }) {
  const entries = words.spokenTo(s.entries, id, ms, done, s.pace);
  if (s.reply?.id !== id) return entries === s.entries ? s : { ...s, entries };
  if (done) return { ...s, entries, reply: null, thinking: false };
  if (s.reply.sounding) return entries === s.entries ? s : { ...s, entries };
  const next = recorded(s, { kind: 'reply', at, reply: id, what: 'sound' });
  return { ...next, entries, thinking: false, reply: { ...s.reply, sounding: true } };
}
