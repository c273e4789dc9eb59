// The five-second check, with the sound: listen to the quiet, play three tones, listen to those, say what helps.

import { INPUT_RATE } from '../protocol.js';
import { GAP_S, judgeRoom, QUIET_S, TONE_S, TONES } from '../room.js';
import { page } from './drawer.js';

const TOTAL_S = QUIET_S + TONES.length * (TONE_S + GAP_S) + 0.4;
/** Loudness of the tones, about that of a spoken reply; and how long they take to rise and fall, s. */
const [LOUD, RAMP_S] = [0.25, 0.03];

/** The microphone is open and puts its frames into `frames`. @type {(context: AudioContext, frames: Int16Array[]) => Promise<void>} */
export async function checkRoom(context, frames) {
	page.checkStart.disabled = true;
	page.verdict.textContent = page['verdict-running'].textContent;
	const began = context.currentTime;
	TONES.forEach((hz, i) => play(context, hz, began + QUIET_S + i * (TONE_S + GAP_S)));
	let quiet = 0;
	for (let s = 0; s < TOTAL_S; s = context.currentTime - began) {
		if (s < QUIET_S) quiet = frames.length;
		page.progress.value = s / TOTAL_S;
		await new Promise(requestAnimationFrame);
	}
	const { say, mode, noise, speakers } = judgeRoom(frames.slice(0, quiet), frames.slice(quiet), INPUT_RATE);
	page.progress.value = 1;
	page.verdict.textContent = page[`verdict-${say}`].textContent;
	page.figures.textContent = `Room ${noise.toFixed(0)} dBFS · speakers ${speakers.toFixed(0)} dBFS`;
	for (const button of page.answers.children) {
		button.hidden = false;
		button.className = button.dataset.what === mode ? 'main' : 'plain';
	}
	page.checkStart.disabled = false;
	page.checkStart.textContent = 'Again';
	page.answers.querySelector('.main').focus();
}

/** @type {(context: AudioContext, hz: number, start: number) => void} */
function play(context, hz, start) {
	const [tone, volume, end] = [new OscillatorNode(context, { frequency: hz }), new GainNode(context, { gain: 0 }), start + TONE_S];
	const { gain } = volume;
	tone.connect(volume).connect(context.destination);
	gain.setValueAtTime(0, start).linearRampToValueAtTime(LOUD, start + RAMP_S);
	gain.setValueAtTime(LOUD, end - RAMP_S).linearRampToValueAtTime(0, end);
	tone.start(start);
	tone.stop(end);
}
