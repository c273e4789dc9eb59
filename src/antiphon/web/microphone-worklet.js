// On the audio thread: microphone sound at whatever rate the browser gives → 16 kHz, 32 ms frames, PCM s16le.

/** Hz sent, and samples a frame: what the server's voice detector takes at a time. */
const [RATE, FRAME] = [16_000, 512];
/** Zero crossings of the filter on each side: with a Blackman window 70 dB down within 1 kHz of the edge. */
const CROSSINGS = 16;

/** A windowed-sinc resampler, with one bank of taps for each fraction of a sample that occurs. */
export class Resampler {
	/** Hz. @param {number} from @param {number} to */
	constructor(from, to) {
		const common = divisor(from, to);
		this.up = to / common;
		this.down = from / common;
		const cutoff = 0.46 * Math.min(1, to / from); // of the input's rate: just under half of the lower one
		this.half = Math.ceil(CROSSINGS / (2 * cutoff));
		this.banks = Array.from({ length: this.up }, (_, phase) => taps(this.half, cutoff, phase / this.up));
		this.held = new Float32Array(2 * this.half);
		this.at = this.half; // in `held`, and a fraction of `phase` / `up` beyond
		this.phase = 0;
	}

	/** As many samples as are ready. @param {Float32Array} input */
	push(input) {
		const { half, held } = this;
		const sound = new Float32Array(held.length + input.length);
		sound.set(held);
		sound.set(input, held.length);
		const out = [];
		while (this.at + half < sound.length) {
			const first = this.at - half + 1;
			out.push(this.banks[this.phase].reduce((sum, tap, k) => sum + tap * sound[first + k], 0));
			this.phase += this.down;
			this.at += Math.floor(this.phase / this.up);
			this.phase %= this.up;
		}
		const done = this.at - half;
		this.held = sound.slice(done);
		this.at = half;
		return out;
	}
}

/** @type {(a: number, b: number) => number} */
const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Around a point `offset` after a sample; they sum to 1. @type {(half: number, cutoff: number, offset: number) => Float32Array} */
function taps(half, cutoff, offset) {
	const bank = Float32Array.from({ length: 2 * half }, (_, k) => {
		const t = k - half + 1 - offset;
		const [x, w] = [2 * Math.PI * cutoff * t, (Math.PI * t) / half];
		return (x ? Math.sin(x) / x : 1) * (0.42 + 0.5 * Math.cos(w) + 0.08 * Math.cos(2 * w));
	});
	const sum = bank.reduce((a, b) => a + b, 0);
	return bank.map((tap) => tap / sum);
}

/** Posts `{ pcm, level }` for each frame; `level` is its root mean square, 0-1. */
class Microphone extends AudioWorkletProcessor {
	frame = new Int16Array(FRAME);
	filled = 0;
	power = 0;
	resampler = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);

	/** @param {Float32Array[][]} inputs */
	process([channels]) {
		if (!channels.length) return true;
		const sound = channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
		for (const sample of this.resampler?.push(sound) ?? sound) this.#take(Math.max(-1, Math.min(1, sample)));
		return true;
	}

	/** @param {number} sample */
	#take(sample) {
		this.frame[this.filled] = Math.round(sample * 32_767);
		this.power += sample * sample;
		this.filled += 1;
		if (this.filled < FRAME) return;
		this.port.postMessage({ pcm: this.frame.buffer, level: Math.sqrt(this.power / FRAME) }, [this.frame.buffer]);
		this.frame = new Int16Array(FRAME);
		this.filled = this.power = 0;
	}
}

registerProcessor('microphone', Microphone);
