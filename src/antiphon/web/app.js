// Wiring: what people do and what comes over the wire become events; what the state wants done is done here.

import { Connection } from './connection.js';
import { asText } from './conversation.js';
import { faultOf, Microphone } from './microphone.js';
import { situation } from './phrases.js';
import { Playback } from './playback.js';
import { load, save } from './preferences.js';
import { socketAddress, startMessage, subprotocols } from './protocol.js';
import { initial, reduce, sending } from './state.js';
import { RoomCheck } from './views/check.js';
import { Drawer, open } from './views/drawer.js';
import { Shape } from './views/shape.js';
import { Words } from './views/words.js';

/** A press this long is talking, a shorter one a tap, ms. */
const HOLD_MS = 300;
/** How often the server hears how far its reply was heard, ms. */
const PLAYED_EVERY_MS = 100;
/** Milliseconds a microphone frame, and how many levels are kept for the timelines: ten minutes. */
const FRAME_MS = 32;
const LEVELS_KEEP = 20_000;

/** @template {Element} [T=HTMLButtonElement] @param {string} id */
const by = (id) => /** @type {T} */ (/** @type {unknown} */ (document.getElementById(id)));

let preferences = load();
let state = initial(preferences.mode);
/** Frames sent, and the level of each since `from`: the clock that the server's `at_ms` counts on. */
const sent = { frames: 0, from: 0, /** @type {number[]} */ levels: [] };
let level = 0;
let told = { reply: '', ms: 0, now: 0 };
/** @type {WakeLockSentinel | null} */
let awake = null;

const connection = new Connection({
  opened: () => connection.send(startMessage(preferences, state.session)),
  message: (message) => {
    if (message.type === 'session' && !message.resumed) Object.assign(sent, { frames: 0, from: 0, levels: [] });
    const at = sent.frames * FRAME_MS;
    dispatch({ type: 'message', message, now: performance.now(), at, rtt_ms: connection.rtt, buffer_ms: playback.store + playback.latency });
  },
  audio: (pcm) => playback.add(pcm),
  closed: (code) => dispatch({ type: 'closed', code, now: performance.now(), random: Math.random() }),
});
const playback = new Playback((reply, ms, done) => {
  tell(reply, ms, done);
  dispatch({ type: 'sound', reply, ms, at: sent.frames * FRAME_MS, done });
});
const microphone = new Microphone(heard, (mic) => dispatch({ type: 'mic', mic }));

const shape = new Shape(/** @type {HTMLCanvasElement} */ (by('shape').firstElementChild), () => ({
  mic: sending(state) ? Math.min(1, level * 6) : 0,
  voice: bands(playback.analyser),
}));
const words = new Words(by('words'), by('entries'), (entry, place) => void explain(entry, place));
const drawer = new Drawer(preferences, (changed) => prefer(changed));
const check = new RoomCheck((mode) => {
  by('check').closest('dialog')?.close();
  prefer({ mode });
});

// ---- events in, commands out --------------------------------------------------------------------------------

/** @param {PageEvent} event */
function dispatch(event) {
  const [next, commands] = reduce(state, event);
  const before = state;
  state = next;
  for (const command of commands) obey(command);
  if (state !== before) render();
}

/** @param {Command} command */
function obey(command) {
  switch (command.do) {
    case 'connect':
      return void connect();
    case 'disconnect':
      return connection.close();
    case 'send':
      return connection.send(command.message);
    case 'microphone':
      return command.on ? void listen() : deafen();
    case 'begin':
      return playback.begin(command.reply, command.from_ms);
    case 'finish':
      return playback.finish(command.reply);
    case 'voice':
      return playback.set(command.action);
    case 'flush':
      playback.flush();
      return tell(told.reply, told.ms, true);
    case 'after':
      setTimeout(() => dispatch(command.event), command.ms);
  }
}

/** @param {string} reply @param {number} ms @param {boolean} last */
function tell(reply, ms, last) {
  const now = performance.now();
  const due = last || reply !== told.reply || now - told.now >= PLAYED_EVERY_MS;
  if (due && reply) connection.send({ type: 'played', ...{ reply_id: reply, ms: Math.round(ms) } });
  told = { reply, ms, now: due ? now : told.now };
}

let ticketRequired = false;

async function connect() {
  try {
    connection.open(socketAddress(document.baseURI), subprotocols(ticketRequired ? await ticket() : null));
  } catch (error) {
    dispatch({ type: 'refused', message: error instanceof Error ? error.message : '' });
  }
}

/** A single-use pass for one connection. */
async function ticket() {
  const answer = await fetch('api/tickets', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' });
  if (!answer.ok) throw new Error('This server did not give out a ticket.');
  return (await answer.json()).ticket;
}

// ---- sound --------------------------------------------------------------------------------------------------

async function listen() {
  if (!isSecureContext || !navigator.mediaDevices) return dispatch({ type: 'mic', mic: 'insecure' });
  try {
    if (await microphone.open(preferences)) dispatch({ type: 'mic', mic: 'on' });
    void drawer.listMicrophones();
    awake ??= await navigator.wakeLock?.request('screen').catch(() => null);
  } catch (error) {
    microphone.close();
    dispatch({ type: 'mic', mic: faultOf(error) });
  }
}

function deafen() {
  microphone.close();
  void awake?.release();
  awake = null;
  level = 0;
}

/** @param {ArrayBuffer} pcm @param {number} loud */
function heard(pcm, loud) {
  level = loud;
  drawer.meter(loud);
  check.hear(pcm);
  if (!sending(state) || !connection.sendAudio(pcm)) return;
  sent.frames += 1;
  sent.levels.push(loud);
  if (sent.levels.length > LEVELS_KEEP) sent.from += sent.levels.splice(0, LEVELS_KEEP / 2).length;
}

const spectrum = new Uint8Array(256);

/** Four bands of the voice, low to high, 0-1. @param {AnalyserNode | null} analyser */
function bands(analyser) {
  if (!analyser) return [0, 0, 0, 0];
  analyser.getByteFrequencyData(spectrum);
  return [[2, 8], [8, 18], [18, 40], [40, 90]].map(([from, to]) => {
    const sum = spectrum.subarray(from, to).reduce((total, bin) => total + bin, 0);
    return Math.min(1, (sum / (to - from) / 255) ** 1.5 * 1.6);
  });
}

// ---- the page -----------------------------------------------------------------------------------------------

let ticking = 0;

function render() {
  const now = situation(state, performance.now());
  const button = by('shape');
  if (button.ariaLabel !== now.action) button.ariaLabel = now.action;
  for (const [id, text] of [['status', now.title], ['hint', now.hint]]) {
    if (by(id).textContent !== text) by(id).textContent = text;
  }
  if (document.body.dataset.now !== now.name) shape.show(now.name);
  document.body.dataset.now = now.name;
  document.body.classList.toggle('has-words', state.entries.length > 0);
  words.show(state.entries);
  const live = state.phase === 'open';
  by('mute').disabled = !live || state.mic !== 'on' || state.mode === 'push_to_talk';
  by('mute').ariaPressed = String(state.muted);
  by('stop').disabled = !state.reply?.sounding;
  by('end').disabled = state.phase === 'idle' || state.phase === 'loading';
  by('hold').ariaPressed = String(state.mode === 'push_to_talk');
  const progress = /** @type {HTMLProgressElement} */ (by('loading'));
  progress.hidden = state.phase !== 'loading' || !now.progress;
  progress.value = now.progress ?? 0;
  const counting = state.retry !== null || state.phase === 'loading';
  if (counting && !ticking) ticking = setInterval(render, 1000);
  if (counting) return;
  clearInterval(ticking);
  ticking = 0;
}

/** @param {Entry} entry @param {HTMLElement} place */
async function explain(entry, place) {
  const [{ waterfall }, { timeline }] = await Promise.all([import('./views/waterfall.js'), import('./views/timeline.js')]);
  if (entry.latency) place.append(waterfall(entry.latency));
  const lanes = timeline(state.flight, entry.key, { frame_ms: FRAME_MS, from: sent.from, levels: sent.levels }, place.clientWidth - 32);
  if (lanes) place.append(lanes);
  place.scrollIntoView({ block: 'nearest' });
}

/** @param {Partial<Preferences>} changed */
function prefer(changed) {
  Object.assign(preferences, changed);
  save(preferences);
  if (changed.theme) {
    document.documentElement.dataset.theme = changed.theme;
    shape.recolour();
  }
  if ('announce' in changed) by('entries').ariaLive = changed.announce ? 'polite' : 'off';
  if (('microphone' in changed || 'processing' in changed) && state.mic === 'on') void listen();
  if (changed.mode) drawer.setMode(changed.mode);
  if (['mode', 'voice', 'language', 'speed', 'instructions'].some((name) => name in changed)) {
    dispatch({ type: 'settings', mode: preferences.mode });
  }
}

// ---- hands --------------------------------------------------------------------------------------------------

let down = 0;

function press() {
  if (down) return;
  down = performance.now();
  by('shape').classList.add('down');
  playback.wake();
  dispatch({ type: 'press' });
}

function release() {
  if (!down) return;
  const long = performance.now() - down >= HOLD_MS;
  down = 0;
  by('shape').classList.remove('down');
  playback.wake();
  dispatch({ type: 'release', long });
}

/** @param {string} text */
function say(text) {
  playback.wake();
  dispatch({ type: 'say', text });
}

/** @type {Record<string, () => void>} */
const KEYS = {
  Escape: () => dispatch({ type: 'stop' }),
  m: () => dispatch({ type: 'mute' }),
  '/': () => by('typed').focus(),
  '?': () => open('keys'),
};

function bindKeys() {
  /** @param {EventTarget | null} target */
  const busy = (target) => target instanceof Element && target.closest('input, textarea, select, dialog') !== null;
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const elsewhere = busy(event.target);
    if (event.key === ' ' && !elsewhere && !(event.target instanceof HTMLButtonElement && event.target.id !== 'shape')) {
      event.preventDefault();
      press();
    } else if (!elsewhere || (event.key === 'Escape' && !document.querySelector('dialog[open]'))) {
      const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }
  });
  addEventListener('keyup', (event) => {
    if (event.key !== ' ' || !down) return;
    event.preventDefault();
    release();
  });
  addEventListener('blur', release);
}

function bindShape() {
  const button = by('shape');
  button.onpointerdown = (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    press();
  };
  button.onpointerup = button.onpointercancel = release;
  button.oncontextmenu = (event) => event.preventDefault();
  // Enter, and the click that a screen reader makes: no pointer came before it.
  button.onclick = ({ detail }) => detail === 0 && (press(), release());
}

function bindPage() {
  /** @param {string} id @param {() => void} act */
  const on = (id, act) => void (by(id).onclick = act);
  on('mute', () => dispatch({ type: 'mute' }));
  on('stop', () => dispatch({ type: 'stop' }));
  on('end', () => dispatch({ type: 'end' }));
  on('clear', () => dispatch({ type: 'clear' }));
  on('hold', () => prefer({ mode: state.mode === 'open_mic' ? 'push_to_talk' : 'open_mic' }));
  on('copy', () => void navigator.clipboard?.writeText(asText(state.entries)));
  on('save', saveWords);
  on('show-keys', () => open('keys'));
  on('show-settings', () => open('settings'));
  on('show-check', () => open('check'));
  on('check-again', () => open('check'));
  on('skip-check', () => offered());
  on('check-start', () => void runCheck());
  for (const example of document.querySelectorAll('.example')) {
    /** @type {HTMLElement} */ (example).onclick = () => say(example.textContent ?? '');
  }
  by('typing').onsubmit = (event) => {
    event.preventDefault();
    const box = /** @type {HTMLInputElement} */ (/** @type {unknown} */ (by('typed')));
    say(box.value);
    box.value = '';
  };
  addEventListener('online', () => dispatch({ type: 'online' }));
}

function saveWords() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([asText(state.entries)], { type: 'text/plain' }));
  link.download = 'conversation.txt';
  link.click();
  URL.revokeObjectURL(link.href);
}

function offered() {
  by('offer').hidden = true;
  prefer({ checked: true });
}

async function runCheck() {
  offered();
  playback.wake();
  const borrowed = state.mic !== 'on';
  if (borrowed) await listen();
  if (state.mic !== 'on' || !playback.context) return check.fail(situation(state, 0).title);
  await check.run(playback.context);
  if (borrowed && state.phase === 'idle') {
    deafen();
    dispatch({ type: 'mic', mic: 'off' });
  }
}

// ---- the server ---------------------------------------------------------------------------------------------

const READY_EVERY_MS = 1000;

/** Asks until the models are warm. */
async function awaitModels() {
  const answer = await fetch('ready').catch(() => null);
  const readiness = await answer?.json().catch(() => null);
  if (readiness) dispatch({ type: 'readiness', readiness, now: performance.now() });
  if (readiness && !readiness.ready) setTimeout(awaitModels, READY_EVERY_MS);
  else void readOptions();
}

async function readOptions() {
  const answer = await fetch('api/options').catch(() => null);
  if (!answer?.ok) return;
  /** @type {Options} */
  const options = await answer.json();
  ticketRequired = options.ticket_required;
  if (options.voices.length) Object.assign(preferences, drawer.offer(options));
}

bindKeys();
bindShape();
bindPage();
prefer({ announce: preferences.announce });
by('offer').hidden = preferences.checked;
render();
void awaitModels();
