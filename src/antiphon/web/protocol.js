// antiphon.v1 as the page speaks it (docs/protocol.md): what is sent, and what may be believed. Pure.

/** Hz of the sound sent and asked for: what recognisers hear, and what the voices are made in. */
export const [INPUT_RATE, OUTPUT_RATE] = [16_000, 24_000];

/** Where the socket is, beside the page itself. @type {(page: string) => string} */
export function socketAddress(page) {
	const url = new URL('ws/voice', page);
	url.protocol = url.protocol.replace('http', 'ws');
	return url.href;
}

/** @type {(ticket: string | null) => string[]} */
export const subprotocols = (ticket) => ['antiphon.v1', ...(ticket ? [`ticket.${ticket}`] : [])];

/** The first message; `session` is the one to take up again, if any, and `played` how far its reply was heard.
 * @type {(wishes: Preferences, session: State['session'], played?: Played | null) => { type: string } & Record<string, unknown>} */
export const startMessage = ({ language, voice, instructions, mode, speed }, session, played = null) => ({
	type: 'start',
	...{ input_rate: INPUT_RATE, output_rate: OUTPUT_RATE, language, voice, instructions, mode, speed, timeline: true },
	resume: session?.token ? { session_id: session.id, token: session.token, last_seq: session.seq, played } : null,
});

/** What must be there for a message to be acted on: strings, numbers, booleans. @type {Record<string, string[][]>} */
const NEEDS = {
	session: [['session_id'], ['epoch'], ['resumed']],
	speech_started: [[], ['at_ms']],
	speech_stopped: [[], ['at_ms']],
	transcript: [['turn_id', 'text'], [], ['final']],
	response_started: [['reply_id']],
	response_text: [['reply_id', 'text']],
	audio_started: [['reply_id']],
	audio_done: [['reply_id'], ['total_ms']],
	playback: [['reply_id', 'action']],
	interrupted: [['reply_id', 'heard_text']],
	response_done: [['reply_id', 'text'], [], [], ['latency_ms']],
	decision: [['kind', 'reason'], ['at_ms']],
	notice: [['message']],
	going_away: [[], ['reconnect_in_ms']],
	error: [['code', 'message']],
	pong: [],
};
const KINDS = ['string', 'number', 'boolean', 'object'];

/** Null for what this page does not know. @type {(text: string) => ServerMessage | null} */
export function readMessage(text) {
	try {
		const message = JSON.parse(text);
		const needs = Object.hasOwn(NEEDS, message?.type) && NEEDS[message.type];
		const fits = needs && needs.every((names, i) => names.every((name) => message[name] !== null && typeof message[name] === KINDS[i]));
		return fits ? message : null;
	} catch {
		return null;
	}
}
