// On the audio thread: replies in, sound out. Keeps a small store against jitter, knows to the sample how much of a
// reply has been heard, falls silent at once when told to, and turns down, waits and goes on without a click.

/** Milliseconds gathered before it sounds: on a good line, on the worst; more after a gap, less after a reply without. */
const [STORE_LEAST, STORE_MOST, STORE_MORE, STORE_LESS] = [45, 250, 35, 10];
/** Loudness when turned down, how long the way there takes, and how often the position is told, ms. */
const [DUCKED, RAMP, TELL_EVERY] = [0.25, 30, 40];
/** Seconds of sound kept at most: the server keeps one ahead, so with more it has lost its way. */
const KEEP_MOST = 60;

/** Where the sound of replies waits and is taken from, apart from the audio thread. */
export class Playout {
	/** @type {{ reply: string, from_ms: number, chunks: Int16Array[], queued: number, ended: boolean }[]} */
	replies = [];
	offset = 0; // samples into the first chunk
	heard = 0; // samples of the first reply
	waiting = true; // for the store to fill
	gain = 1;
	target = 1; // 0 holds it where it is
	last = 0; // the last sample, from which a cut fades out
	store = STORE_LEAST;
	gaps = 0;
	skip = 0; // samples to come that were heard before

	/** @param {number} rate Hz */
	constructor(rate) {
		this.rate = rate;
	}

	/** `from_ms`: where in the reply its sound begins. @type {(reply: string, from_ms: number) => void} */
	begin(reply, from_ms) {
		this.replies.push({ reply, from_ms, chunks: [], queued: 0, ended: false });
	}

	/** The rest of a reply comes again, from `from_ms` on: goes on where it is. @type {(reply: string, from_ms: number) => void} */
	again(reply, from_ms) {
		const at = this.position;
		const ms = at.reply === reply ? Math.max(from_ms, at.ms) : from_ms;
		const { gain, target } = this;
		this.flush();
		Object.assign(this, { gain, target: target && 1 });
		this.begin(reply, ms);
		this.skip = Math.round(((ms - from_ms) / 1000) * this.rate);
	}

	/** @param {Int16Array} sound of the reply begun last */
	add(sound) {
		const reply = this.replies.at(-1);
		const pcm = sound.subarray(this.skip);
		this.skip -= sound.length - pcm.length;
		if (!reply || reply.queued > KEEP_MOST * this.rate || !pcm.length) return;
		reply.chunks.push(pcm);
		reply.queued += pcm.length;
	}

	/** All sound of the reply is here. @param {string} id */
	finish(id) {
		for (const reply of this.replies) reply.ended ||= reply.reply === id;
	}

	/** Silence now. */
	flush() {
		this.replies = [];
		this.skip = 0;
		this.#turn();
	}

	/** How far the reply at hand has been heard. */
	get position() {
		const [{ reply, from_ms } = { reply: '', from_ms: 0 }] = this.replies;
		return { reply, ms: from_ms + (this.heard / this.rate) * 1000 };
	}

	/** Fills `out`; the last position of a reply that ended in it, if one did. @param {Float32Array} out */
	fill(out) {
		const step = 1000 / RAMP / this.rate;
		let over = null;
		for (let i = 0; i < out.length; i += 1) {
			this.gain += Math.max(-step, Math.min(step, this.target - this.gain));
			const sample = over ? null : this.#next();
			if (sample === undefined) {
				over = this.position;
				this.replies.shift();
				this.#turn();
			}
			// With nothing to play, what was there last dies away within 4 ms: a step would click.
			if (typeof sample === 'number') this.last = (sample / 32_768) * this.gain;
			else this.last = Math.abs(this.last) > 1e-5 ? this.last * 0.9 : 0;
			out[i] = this.last;
		}
		return over;
	}

	/** The next sample; null when there is none now, undefined when the reply is over. */
	#next() {
		const [reply] = this.replies;
		if (!reply || (!this.target && this.gain < 0.001)) return null;
		this.waiting &&= !reply.ended && reply.queued < (this.store * this.rate) / 1000;
		if (this.waiting) return null;
		const [chunk] = reply.chunks;
		if (!chunk) {
			if (reply.ended) return undefined;
			this.waiting = true;
			this.gaps += 1;
			this.store = Math.min(STORE_MOST, this.store + STORE_MORE);
			return null;
		}
		const sample = chunk[this.offset];
		this.offset += 1;
		this.heard += 1;
		reply.queued -= 1;
		if (this.offset === chunk.length) {
			this.offset = 0;
			reply.chunks.shift();
		}
		return sample;
	}

	/** The next reply begins as any. */
	#turn() {
		if (!this.gaps) this.store = Math.max(STORE_LEAST, this.store - STORE_LESS);
		this.offset = this.heard = this.gaps = 0;
		this.waiting = true;
		this.gain = this.target = 1;
	}
}

/** Takes `{ do, … }`, posts `{ reply, ms, done, store }`. */
class Playback extends AudioWorkletProcessor {
	playout = new Playout(sampleRate);
	told = 0;

	constructor() {
		super();
		const { playout } = this;
		/** @type {Record<string, (order: any) => void>} */
		const orders = {
			begin: ({ reply, from_ms }) => playout.begin(reply, from_ms),
			again: ({ reply, from_ms }) => playout.again(reply, from_ms),
			add: ({ pcm }) => playout.add(new Int16Array(pcm, 0, pcm.byteLength >> 1)),
			finish: ({ reply }) => playout.finish(reply),
			flush: () => playout.flush(),
			duck: () => (playout.target = DUCKED),
			hold: () => (playout.target = 0),
			resume: () => (playout.target = 1),
		};
		this.port.onmessage = ({ data }) => orders[data.do](data);
	}

	/** @type {(inputs: Float32Array[][], outputs: Float32Array[][]) => boolean} */
	process(_, [[out]]) {
		const { playout } = this;
		const before = playout.heard;
		const over = playout.fill(out);
		this.told += out.length;
		const due = playout.heard > before && (!before || this.told * 1000 > TELL_EVERY * sampleRate);
		if (due) this.told = 0;
		if (over || due) this.port.postMessage({ ...(over ?? playout.position), done: !!over, store: playout.store });
		return true;
	}
}

registerProcessor('playback', Playback);
