// On the audio thread: microphone sound at whatever rate the browser gives → 16 kHz, 32 ms frames, PCM s16le.

const OUT_RATE = 16_000;
/** Samples a frame: 32 ms, what the server's voice detector takes at a time. */
const FRAME = 512;
/** Zero crossings of the filter on each side: 80 dB down within 1 kHz of the edge. */
const CROSSINGS = 16;

/** A windowed-sinc resampler (Blackman window), one bank of taps for each fraction of a sample that occurs. */
export class Resampler {
  /** @param {number} from Hz @param {number} to Hz */
  constructor(from, to) {
    const common = divisor(from, to);
    this.up = to / common;
    this.down = from / common;
    const cutoff = 0.46 * Math.min(1, to / from); // of the input rate, just under the lower half-rate
    this.half = Math.ceil(CROSSINGS / (2 * cutoff));
    this.banks = Array.from({ length: this.up }, (_, phase) => taps(this.half, cutoff, phase / this.up));
    this.held = new Float32Array(2 * this.half);
    this.phase = 0;
    this.at = this.half;
  }

  /** @param {Float32Array} input @returns {Float32Array} as many samples as are ready */
  push(input) {
    const sound = new Float32Array(this.held.length + input.length);
    sound.set(this.held);
    sound.set(input, this.held.length);
    const out = [];
    for (; this.at + this.half < sound.length; this.#step()) {
      const bank = this.banks[this.phase];
      let sum = 0;
      for (let k = 0, i = this.at - this.half + 1; k < bank.length; k += 1, i += 1) sum += bank[k] * sound[i];
      out.push(sum);
    }
    const keep = Math.max(0, this.at - this.half);
    this.held = sound.slice(keep);
    this.at -= keep;
    return Float32Array.from(out);
  }

  #step() {
    this.phase += this.down;
    this.at += Math.floor(this.phase / this.up);
    this.phase %= this.up;
  }
}

/** @param {number} a @param {number} b @returns {number} */
const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Taps around one point between two samples, summing to 1. @param {number} half @param {number} cutoff @param {number} offset */
function taps(half, cutoff, offset) {
  const bank = Float32Array.from({ length: 2 * half }, (_, k) => {
    const t = k - half + 1 - offset;
    const x = 2 * Math.PI * cutoff * t;
    const w = (Math.PI * t) / half;
    return (x ? Math.sin(x) / x : 1) * (0.42 + 0.5 * Math.cos(w) + 0.08 * Math.cos(2 * w));
  });
  const sum = bank.reduce((total, tap) => total + tap, 0);
  return bank.map((tap) => tap / sum);
}

/** Posts `{ pcm, level }` for each frame: `level` is its root mean square, 0-1. */
class Microphone extends AudioWorkletProcessor {
  frame = new Int16Array(FRAME);
  filled = 0;
  power = 0;
  resampler = sampleRate === OUT_RATE ? null : new Resampler(sampleRate, OUT_RATE);

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    if (!channels?.length) return true;
    const sound = channels.length === 1 ? channels[0] : mixed(channels);
    for (const sample of this.resampler?.push(sound) ?? sound) this.#take(sample);
    return true;
  }

  /** @param {number} sample */
  #take(sample) {
    const whole = Math.max(-1, Math.min(1, sample));
    this.frame[this.filled] = Math.round(whole * 32_767);
    this.power += whole * whole;
    this.filled += 1;
    if (this.filled < FRAME) return;
    this.port.postMessage({ pcm: this.frame.buffer, level: Math.sqrt(this.power / FRAME) }, [this.frame.buffer]);
    this.frame = new Int16Array(FRAME);
    this.filled = this.power = 0;
  }
}

/** @param {Float32Array[]} channels */
const mixed = (channels) =>
  channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);

registerProcessor('microphone', Microphone);
