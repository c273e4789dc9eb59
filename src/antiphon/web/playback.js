// The voice: one audio context and its worklet, and where in a reply the listener is.

import { OUTPUT_RATE } from './protocol.js';

/** Orders kept until the worklet is there: the audio context starts within a few frames of sound. */
const PENDING_MOST = 200;

export class Playback {
  /** @type {AudioContext | null} */
  context = null;
  /** @type {AnalyserNode | null} */
  analyser = null;
  /** @type {AudioWorkletNode | null} */
  #node = null;
  /** @type {any[]} */
  #pending = [];
  /** @type {Set<string>} replies that are begun and not over: late news of others is not believed */
  #live = new Set();
  #dropping = true;
  /** Sound gathered before it starts, ms. */
  store = 45;

  /** @param {(reply: string, ms: number, done: boolean) => void} onPosition */
  constructor(onPosition) {
    this.onPosition = onPosition;
  }

  /** Makes ready to sound. Call from a press or key: browsers start audio only then. */
  wake() {
    if (!this.context) void this.#build();
    void this.context?.resume();
  }

  async #build() {
    const context = new AudioContext({ sampleRate: OUTPUT_RATE, latencyHint: 'interactive' });
    this.context = context;
    await context.audioWorklet.addModule(new URL('playback-worklet.js', import.meta.url).href);
    this.#node = new AudioWorkletNode(context, 'playback', { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => this.#told(data);
    this.analyser = new AnalyserNode(context, { fftSize: 512, smoothingTimeConstant: 0.6 });
    this.#node.connect(this.analyser).connect(context.destination);
    for (const order of this.#pending.splice(0)) this.#node.port.postMessage(order);
  }

  /** The way from the worklet to the ear, ms. */
  get latency() {
    return ((this.context?.outputLatency || this.context?.baseLatency) ?? 0) * 1000;
  }

  /** @param {string} reply @param {number} from_ms */
  begin(reply, from_ms) {
    if (this.#live.has(reply)) this.flush(); // sent again after a reconnect
    this.#live.add(reply);
    this.#dropping = false;
    this.#order({ do: 'begin', reply, from_ms });
  }

  /** @param {ArrayBuffer} pcm of the reply begun last */
  add(pcm) {
    if (!this.#dropping) this.#order({ do: 'add', pcm: pcm.slice(0, pcm.byteLength & ~1) });
  }

  /** @param {string} reply */
  finish(reply) {
    this.#order({ do: 'finish', reply });
  }

  /** @param {'duck' | 'hold' | 'resume'} action */
  set(action) {
    this.#order({ do: action });
  }

  /** Silence now; what still comes of these replies is dropped. */
  flush() {
    this.#live.clear();
    this.#dropping = true;
    this.#order({ do: 'flush' });
  }

  /** @param {any} order */
  #order(order) {
    if (this.#node) this.#node.port.postMessage(order);
    else if (this.#pending.length < PENDING_MOST) this.#pending.push(order);
  }

  /** @param {{ reply: string, ms: number, done: boolean, store: number }} position */
  #told({ reply, ms, done, store }) {
    this.store = store;
    if (!this.#live.has(reply)) return;
    if (!done) return this.onPosition(reply, Math.max(0, ms - this.latency), false);
    // The worklet is through; the ear is not, by the latency (200 ms on some wireless headphones).
    setTimeout(() => {
      if (this.#live.delete(reply)) this.onPosition(reply, ms, true);
    }, this.latency);
  }
}
