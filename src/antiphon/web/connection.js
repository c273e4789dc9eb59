// The socket: open, send without piling up, measure the way there and back, notice when it has died.

import { readMessage } from './protocol.js';

/** Sound waiting to leave beyond which more is dropped: two seconds of it. A slow line then skips, and never lags. */
const PILE_MOST = 64_000;
const PING_EVERY_MS = 5000;
/** No answer for this long: the line is dead, whatever the socket says. */
const SILENCE_MOST_MS = 12_000;

/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(message: ServerMessage) => void} message
 * @property {(pcm: ArrayBuffer) => void} audio
 * @property {(code: number) => void} closed
 */

export class Connection {
  /** @type {WebSocket | null} */
  #socket = null;
  #timer = 0;
  #pinged = 0;
  #heard = 0;
  /** Milliseconds there and back. */
  rtt = 0;

  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
  }

  /** @param {string} address @param {string[]} protocols */
  open(address, protocols) {
    this.close();
    const socket = new WebSocket(address, protocols);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    /** @template T @param {(event: T) => void} act @returns {(event: T) => void} */
    const live = (act) => (event) => void (this.#socket === socket && act(event));
    socket.onopen = live(() => {
      this.#heard = performance.now();
      this.#timer = setInterval(() => this.#ping(), PING_EVERY_MS);
      this.listener.opened();
      this.#ping();
    });
    socket.onmessage = live((/** @type {MessageEvent} */ { data }) => this.#received(data));
    socket.onclose = live((/** @type {CloseEvent} */ { code }) => this.#lost(code));
  }

  /** Leave without a word to the listener. */
  close() {
    clearInterval(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** @param {{ type: string }} message */
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {ArrayBuffer} pcm @returns {boolean} whether it left */
  sendAudio(pcm) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > PILE_MOST) return false;
    socket.send(pcm);
    return true;
  }

  /** @param {string | ArrayBuffer} data */
  #received(data) {
    this.#heard = performance.now();
    if (typeof data !== 'string') return this.listener.audio(data);
    const message = readMessage(data);
    if (message?.type === 'pong') this.rtt = this.#heard - this.#pinged;
    else if (message) this.listener.message(message);
  }

  #ping() {
    const now = performance.now();
    if (now - this.#heard > SILENCE_MOST_MS) return this.#lost(1006);
    this.#pinged = now;
    this.send({ type: 'ping' });
  }

  /** @param {number} code */
  #lost(code) {
    this.close();
    this.listener.closed(code);
  }
}
