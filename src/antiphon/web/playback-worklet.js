// On the audio thread: replies in, sound out. Keeps a small store against jitter, knows to the sample how much
// of a reply has been heard, falls silent at once when told to, and turns down, waits and goes on without a click.

/** Sound gathered before it starts, ms: what a good line needs, and the most that a bad one gets. */
const STORE_LEAST = 45;
const STORE_MOST = 250;
/** What a gap adds, and what a reply without one takes away again, ms. */
const STORE_MORE = 35;
const STORE_LESS = 10;
/** Loudness when turned down, and how long it takes to get there, ms. */
const DUCKED = 0.25;
const RAMP = 30;
/** How often the position is told, ms. */
const TELL_EVERY = 40;
/** Sound kept at most, seconds: the server keeps one ahead, so more means it has lost its way. */
const KEEP_MOST_S = 60;

/**
 * The queue by itself, apart from the audio thread.
 * @typedef {{ reply: string, from_ms: number, chunks: Float32Array[], ended: boolean }} Reply
 */
export class Playout {
  /** @type {Reply[]} */
  replies = [];
  offset = 0; // samples into the first chunk
  heard = 0; // samples of the first reply
  waiting = true; // for the store to fill
  held = false;
  gain = 1;
  target = 1;
  last = 0; // the last sample, from which a cut fades out
  store = STORE_LEAST;
  gaps = 0;

  /** @param {number} rate Hz */
  constructor(rate) {
    this.rate = rate;
    this.step = 1000 / RAMP / rate; // of gain, a sample
  }

  /** @param {string} reply @param {number} from_ms where in the reply its sound begins */
  begin(reply, from_ms) {
    this.replies.push({ reply, from_ms, chunks: [], ended: false });
  }

  /** @param {Int16Array} pcm */
  add(pcm) {
    const reply = this.replies.at(-1);
    if (reply && this.#queued() < KEEP_MOST_S * this.rate) reply.chunks.push(Float32Array.from(pcm, (s) => s / 32_768));
  }

  /** All sound of the reply is here. @param {string} id */
  finish(id) {
    for (const reply of this.replies) if (reply.reply === id) reply.ended = true;
  }

  /** Silence now. */
  flush() {
    this.replies = [];
    this.#next();
    this.gain = 1;
  }

  duck() {
    this.held = false;
    this.target = DUCKED;
  }

  hold() {
    this.held = true;
    this.target = 0;
  }

  resume() {
    this.held = false;
    this.target = 1;
  }

  /** Where the first reply is: heard so far, in ms of it. */
  get position() {
    const reply = this.replies[0];
    return reply && { reply: reply.reply, ms: reply.from_ms + (this.heard / this.rate) * 1000 };
  }

  /** Fills `out` and returns the reply that ended in it, if one did. @param {Float32Array} out */
  fill(out) {
    const reply = this.replies[0];
    let done = null;
    for (let i = 0; i < out.length; i += 1) {
      this.gain += Math.max(-this.step, Math.min(this.step, this.target - this.gain));
      const sample = reply && this.replies[0] === reply ? this.#sample(reply) : null;
      if (sample === undefined) {
        done = { reply: reply.reply, ms: reply.from_ms + (this.heard / this.rate) * 1000 };
        this.replies.shift();
        this.#next();
      }
      // With nothing to play, what was there last dies away within 2 ms: a step would click.
      this.last = sample === null || sample === undefined ? this.last * 0.9 : sample * this.gain;
      out[i] = this.last;
    }
    return done;
  }

  /** The next sample; null when there is none now, undefined when the reply is over. @param {Reply} reply */
  #sample(reply) {
    if (this.held && this.gain < 1e-3) return null;
    if (this.waiting) {
      if (!reply.ended && this.#ready(reply) < (this.store * this.rate) / 1000) return null;
      this.waiting = false;
    }
    const chunk = reply.chunks[0];
    if (!chunk) {
      if (reply.ended) return undefined;
      this.#starved();
      return null;
    }
    const sample = chunk[this.offset];
    this.offset += 1;
    this.heard += 1;
    if (this.offset === chunk.length) {
      reply.chunks.shift();
      this.offset = 0;
    }
    return sample;
  }

  #starved() {
    this.waiting = true;
    this.gaps += 1;
    this.store = Math.min(STORE_MOST, this.store + STORE_MORE);
  }

  #next() {
    if (!this.gaps) this.store = Math.max(STORE_LEAST, this.store - STORE_LESS);
    this.offset = this.heard = this.gaps = 0;
    this.waiting = true;
    this.resume();
  }

  /** @param {Reply} reply */
  #ready(reply) {
    return reply.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  #queued() {
    return this.replies.reduce((sum, reply) => sum + this.#ready(reply), 0);
  }
}

/** Takes `{ do, … }`, posts `{ reply, ms, done, store }`. */
class Playback extends AudioWorkletProcessor {
  playout = new Playout(sampleRate);
  told = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#obey(data);
  }

  /** @param {any} order */
  #obey(order) {
    const { playout } = this;
    if (order.do === 'begin') playout.begin(order.reply, order.from_ms);
    else if (order.do === 'add') playout.add(new Int16Array(order.pcm));
    else if (order.do === 'finish') playout.finish(order.reply);
    else if (order.do === 'flush') playout.flush();
    else if (order.do === 'duck') playout.duck();
    else if (order.do === 'hold') playout.hold();
    else if (order.do === 'resume') playout.resume();
  }

  /** @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
  process(_inputs, [[out]]) {
    const { playout } = this;
    const before = playout.heard;
    const done = playout.fill(out);
    this.told += out.length;
    if (done) this.port.postMessage({ ...done, done: true, store: playout.store });
    else if (playout.heard > before && (!before || this.told * 1000 > TELL_EVERY * sampleRate)) {
      this.told = 0;
      this.port.postMessage({ ...playout.position, done: false, store: playout.store });
    }
    return true;
  }
}

registerProcessor('playback', Playback);
