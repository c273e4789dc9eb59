// The voice: one audio context and its worklet, and where in a reply the listener is.

import { OUTPUT_RATE } from './protocol.js';

/** Orders kept until the worklet is there: it takes a few frames of sound. */
const PENDING_MOST = 200;

/** @type {MakePlayback} */
export function playback(onPosition) {
	let node = /** @type {AudioWorkletNode | undefined} */ (undefined);
	const pending = /** @type {object[]} */ ([]);
	let read = 0; // ms of sound that came and could not be heard
	const live = new Set(); // replies begun and not over: late news of others is not believed
	const self = /** @type {Playback} */ ({ store: 45, wake, begin, add, set, flush });

	/** @param {any} order */
	function tell(order) {
		if (self.context && !self.context.audioWorklet) unheard(order);
		else if (node) node.port.postMessage(order);
		else if (pending.length < PENDING_MOST) pending.push(order);
	}

	function wake() {
		if (!self.context) void build();
		void self.context?.resume();
	}

	/** A page that is not secure has no worklets, so no voice: each reply counts as read once all of it has come.
	 * @param {any} order */
	function unheard(order) {
		if (order.do === 'begin' || order.do === 'again') read = order.from_ms;
		if (order.do === 'add') read += order.pcm.byteLength / (OUTPUT_RATE / 500);
		if (order.do === 'finish') told({ reply: order.reply, ms: read, done: true, store: 0 });
	}

	async function build() {
		const context = (self.context = new AudioContext({ sampleRate: OUTPUT_RATE, latencyHint: 'interactive' }));
		if (!context.audioWorklet) return;
		await context.audioWorklet.addModule(new URL('playback-worklet.js', import.meta.url));
		node = new AudioWorkletNode(context, 'playback', { numberOfInputs: 0, outputChannelCount: [1] });
		node.port.onmessage = ({ data }) => told(data);
		self.analyser = new AnalyserNode(context, { fftSize: 512, smoothingTimeConstant: 0.6 });
		node.connect(self.analyser).connect(context.destination);
		pending.splice(0).forEach(tell);
	}

	/** @type {Playback['begin']} */
	function begin(reply, from_ms) {
		// After a reconnect the rest of a reply is sent again, some of which may have been heard meanwhile.
		const again = live.has(reply);
		if (again) live.clear();
		live.add(reply);
		tell({ do: again ? 'again' : 'begin', reply, from_ms });
	}

	/** After a flush, until the next reply begins, sound is dropped. @param {ArrayBuffer} pcm */
	function add(pcm) {
		if (live.size) tell({ do: 'add', pcm });
	}

	/** @type {Playback['set']} */
	function set(action, reply) {
		tell({ do: action, reply });
	}

	function flush() {
		live.clear();
		tell({ do: 'flush' });
	}

	/** @type {(position: { reply: string, ms: number, done: boolean, store: number }) => void} */
	function told({ reply, ms, done, store }) {
		// From the worklet to the ear: 200 ms on some wireless headphones.
		const latency = 1000 * (self.context?.outputLatency || self.context?.baseLatency || 0);
		Object.assign(self, { store: store + latency });
		if (!live.has(reply)) return;
		if (done) setTimeout(() => live.delete(reply) && onPosition(reply, ms, true), latency);
		else onPosition(reply, Math.max(0, ms - latency), false);
	}

	return self;
}
