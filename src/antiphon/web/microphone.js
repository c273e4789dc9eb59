// The microphone: asks for it, names what went wrong, and hands on 32 ms frames with their level.

import { INPUT_RATE } from './protocol.js';

/** What a getUserMedia error means for the person. @type {(error: unknown) => MicFault} */
export function faultOf(error) {
	const { name } = /** @type {Error} */ (Object(error));
	if (name === 'NotAllowedError' || name === 'SecurityError') return 'refused';
	return name === 'NotReadableError' || name === 'AbortError' ? 'taken' : 'missing';
}

/** @type {MakeMicrophone} */
export function microphone(onFrame, onLost) {
	let asked = 0;
	let track = /** @type {MediaStreamTrack | undefined} */ (undefined);
	let context = /** @type {BaseAudioContext | undefined} */ (undefined);

	function close() {
		asked += 1;
		track?.stop(); // fires no `ended`
		if (context instanceof AudioContext) void context.close();
		track = context = undefined;
	}

	return {
		close,
		async open({ microphone: id, processing }) {
			close();
			const mine = asked;
			const stream = await navigator.mediaDevices.getUserMedia({
				audio: {
					...{ deviceId: id ? { ideal: id } : undefined, channelCount: { ideal: 1 } },
					...{ echoCancellation: processing, noiseSuppression: processing, autoGainControl: processing },
				},
			});
			const [heard] = stream.getTracks();
			if (mine !== asked) return void heard.stop();
			track = heard;
			track.onended = () => {
				close();
				onLost('missing');
			};
			const source = heardIn(stream);
			context = source.context;
			await context.audioWorklet.addModule(new URL('microphone-worklet.js', import.meta.url));
			if (mine !== asked) return;
			const frames = new AudioWorkletNode(context, 'microphone', { numberOfOutputs: 0 });
			frames.port.onmessage = ({ data }) => mine === asked && onFrame(data.pcm, data.level);
			source.connect(frames);
			return true;
		},
	};
}

/** In a context at 16 kHz where the browser can join the microphone to one; Firefox cannot when the device runs at
 * another rate, and then the worklet resamples. @param {MediaStream} stream */
function heardIn(stream) {
	const context = new AudioContext({ sampleRate: INPUT_RATE });
	try {
		return context.createMediaStreamSource(stream);
	} catch {
		void context.close();
		return new AudioContext().createMediaStreamSource(stream);
	}
}

/** The microphones there are; they have names once one has been allowed. */
export async function microphones() {
	const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
	return devices.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId);
}
