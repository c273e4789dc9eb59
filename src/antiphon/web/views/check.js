// The five-second check, with the sound: listen to the quiet, play three tones, listen to those, say what helps.

import { GAP_S, judgeRoom, QUIET_S, TONE_GAIN, TONE_S, TONES } from '../room.js';

const TOTAL_S = QUIET_S + TONES.length * (TONE_S + GAP_S) + 0.4;

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {AudioContext} context @param {number} from when, on its clock, s */
function playTones(context, from) {
  TONES.forEach((hz, i) => {
    const [tone, gain] = [new OscillatorNode(context, { frequency: hz }), new GainNode(context, { gain: 0 })];
    const start = from + i * (TONE_S + GAP_S);
    gain.gain.setValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(TONE_GAIN, start + 0.03);
    gain.gain.setValueAtTime(TONE_GAIN, start + TONE_S - 0.03);
    gain.gain.linearRampToValueAtTime(0, start + TONE_S);
    tone.connect(gain).connect(context.destination);
    tone.start(start);
    tone.stop(start + TONE_S);
  });
}

export class RoomCheck {
  /** @type {Int16Array[]} */
  #frames = [];
  #running = false;

  /** @param {(mode: Mode) => void} onChosen */
  constructor(onChosen) {
    part('check-open').onclick = () => onChosen('open_mic');
    part('check-push').onclick = () => onChosen('push_to_talk');
  }

  /** @param {ArrayBuffer} pcm a microphone frame, 16 kHz */
  hear(pcm) {
    if (this.#running) this.#frames.push(new Int16Array(pcm));
  }

  /** @param {string} text the microphone could not be had */
  fail(text) {
    part('check-text').textContent = text;
  }

  /** The microphone is open and frames come to `hear`. @param {AudioContext} context */
  async run(context) {
    if (this.#running) return;
    this.#frames = [];
    this.#running = true;
    part('check-start').hidden = true;
    part('check-text').textContent = 'Quiet, please. Then three tones.';
    const began = context.currentTime;
    playTones(context, began + QUIET_S);
    let quiet = 0;
    for (let s = 0; s < TOTAL_S; s = context.currentTime - began) {
      if (s < QUIET_S) quiet = this.#frames.length;
      /** @type {HTMLProgressElement} */ (part('check-progress')).value = s / TOTAL_S;
      await new Promise(requestAnimationFrame);
    }
    this.#running = false;
    this.#tell(judgeRoom(this.#frames.slice(0, quiet), this.#frames.slice(quiet), 16_000));
  }

  /** @param {ReturnType<typeof judgeRoom>} verdict */
  #tell({ title, help, mode, noise, bleed }) {
    /** @type {HTMLProgressElement} */ (part('check-progress')).value = 1;
    part('check-text').textContent = `${title}. ${help}`;
    part('check-figures').textContent = `Room ${noise.toFixed(0)} dBFS · speakers ${Math.max(0, bleed).toFixed(0)} dB above it`;
    const [open, push, start] = ['check-open', 'check-push', 'check-start'].map(part);
    open.hidden = push.hidden = start.hidden = false;
    start.textContent = 'Again';
    open.className = mode === 'open_mic' ? 'main' : 'plain';
    push.className = mode === 'push_to_talk' ? 'main' : 'plain';
    start.className = 'plain';
  }
}
