// antiphon.v1 as the page speaks it (docs/protocol.md): what is sent, and what may be believed. Pure.

/** Hz of the sound sent and asked for: what recognisers hear, and what the voices are made in. */
export const INPUT_RATE = 16_000;
export const OUTPUT_RATE = 24_000;

/** Where the socket is, beside the page itself. @param {string} page its address */
export function socketAddress(page) {
  const url = new URL('ws/voice', page);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = url.hash = '';
  return url.href;
}

/** @param {string | null} ticket */
export const subprotocols = (ticket) => (ticket ? ['antiphon.v1', `ticket.${ticket}`] : ['antiphon.v1']);

/** @param {Preferences} wishes @param {State['session']} session the one to take up again, if any */
export const startMessage = (wishes, session) => ({
  type: 'start',
  input_rate: INPUT_RATE,
  output_rate: OUTPUT_RATE,
  language: wishes.language,
  voice: wishes.voice,
  instructions: wishes.instructions,
  mode: wishes.mode,
  speed: wishes.speed,
  timeline: true,
  resume: session?.token ? { session_id: session.id, token: session.token, last_seq: session.seq } : null,
});

/** What must be there, and of which type, for a message to be acted on. @type {Record<string, Record<string, string>>} */
const NEEDS = {
  session: { session_id: 'string', epoch: 'number', resumed: 'boolean' },
  speech_started: { at_ms: 'number' },
  speech_stopped: { at_ms: 'number' },
  transcript: { turn_id: 'string', text: 'string', final: 'boolean' },
  response_started: { reply_id: 'string' },
  response_text: { reply_id: 'string', text: 'string' },
  audio_started: { reply_id: 'string' },
  audio_done: { reply_id: 'string', total_ms: 'number' },
  playback: { reply_id: 'string', action: 'string' },
  interrupted: { reply_id: 'string', heard_text: 'string' },
  response_done: { reply_id: 'string', text: 'string', latency_ms: 'object' },
  decision: { at_ms: 'number', kind: 'string', reason: 'string' },
  notice: { message: 'string' },
  going_away: { reconnect_in_ms: 'number' },
  error: { code: 'string', message: 'string' },
  pong: {},
};

/** @param {string} text @returns {ServerMessage | null} null for what this page does not know */
export function readMessage(text) {
  try {
    const message = JSON.parse(text);
    const needs = Object.hasOwn(NEEDS, message?.type) ? Object.entries(NEEDS[message.type]) : null;
    return needs?.every(([name, kind]) => message[name] !== null && typeof message[name] === kind) ? message : null;
  } catch {
    return null;
  }
}
