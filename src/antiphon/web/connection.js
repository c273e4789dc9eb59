// The socket: open, send without piling up, measure the way there and back, notice when it has died.

import { readMessage } from './protocol.js';

/** Bytes waiting to leave beyond which more sound is dropped: two seconds. A slow line then skips, and never lags. */
const PILE_MOST = 64_000;
/** How often it asks; and without any answer for how long the line is dead, whatever the socket says, ms. */
const [PING_EVERY, SILENCE_MOST] = [5000, 12_000];

/** @type {MakeConnection} */
export function connection(hearer) {
	let socket = /** @type {WebSocket | null} */ (null);
	let [timer, pinged, heard, rtt] = [0, 0, 0, 0];

	/** @type {Connection['send']} */
	const send = (message) => socket?.readyState === 1 && socket.send(JSON.stringify(message));

	// Leaves without a word to the hearer.
	function close() {
		clearInterval(timer);
		const left = socket;
		socket = null;
		left?.close(1000);
	}

	/** @param {number} code */
	function lost(code) {
		close();
		hearer.closed(code);
	}

	function ping() {
		pinged = performance.now();
		if (pinged - heard > SILENCE_MOST) lost(1006);
		else send({ type: 'ping' });
	}

	/** @param {MessageEvent<string | ArrayBuffer>} event */
	function take({ data }) {
		heard = performance.now();
		if (typeof data !== 'string') return hearer.audio(data);
		const message = readMessage(data);
		if (message?.type === 'pong') rtt = heard - pinged;
		else if (message) hearer.message(message);
	}

	return {
		get rtt() {
			return rtt;
		},
		open(address, protocols) {
			close();
			const mine = (socket = new WebSocket(address, protocols));
			mine.binaryType = 'arraybuffer';
			mine.onopen = () => {
				if (mine !== socket) return;
				heard = performance.now();
				timer = setInterval(ping, PING_EVERY);
				hearer.opened();
				ping();
			};
			mine.onmessage = (event) => mine === socket && take(event);
			mine.onclose = ({ code }) => mine === socket && lost(code);
		},
		close,
		send,
		sendAudio(pcm, late = false) {
			if (socket?.readyState !== 1 || (!late && socket.bufferedAmount > PILE_MOST)) return false;
			socket.send(pcm);
			return true;
		},
	};
}
