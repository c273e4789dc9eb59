// The microphone: asks for it, names what went wrong, and hands on 32 ms frames with their level.

import { INPUT_RATE } from './protocol.js';

/** What a getUserMedia error means for the person. @param {unknown} error @returns {MicFault} */
export function faultOf(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'refused';
  return name === 'NotReadableError' || name === 'AbortError' ? 'taken' : 'missing';
}

export class Microphone {
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  analyser = null;
  #asked = 0;

  /** @param {(pcm: ArrayBuffer, level: number) => void} onFrame @param {(fault: MicFault) => void} onLost */
  constructor(onFrame, onLost) {
    this.onFrame = onFrame;
    this.onLost = onLost;
  }

  /**
   * Opens it, anew if it is open. Throws what the browser says; `faultOf` reads it.
   * @param {{ microphone: string, processing: boolean }} wishes
   * @returns {Promise<boolean>} false when it was closed again meanwhile
   */
  async open({ microphone, processing }) {
    this.close();
    const asked = this.#asked;
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        deviceId: microphone ? { ideal: microphone } : undefined,
        channelCount: { ideal: 1 },
        echoCancellation: processing,
        noiseSuppression: processing,
        autoGainControl: processing,
      },
    });
    if (asked !== this.#asked) return stop(stream);
    this.#stream = stream;
    stream.getAudioTracks()[0].onended = () => {
      this.close();
      this.onLost('missing');
    };
    await this.#listen(stream);
    return asked === this.#asked;
  }

  /** @param {MediaStream} stream */
  async #listen(stream) {
    const [context, source] = heardAt(stream);
    this.#context = context;
    this.analyser = new AnalyserNode(context, { fftSize: 512, smoothingTimeConstant: 0.5 });
    await context.audioWorklet.addModule(new URL('microphone-worklet.js', import.meta.url).href);
    if (context !== this.#context) return;
    const frames = new AudioWorkletNode(context, 'microphone', { numberOfOutputs: 0 });
    frames.port.onmessage = ({ data }) => context === this.#context && this.onFrame(data.pcm, data.level);
    source.connect(this.analyser);
    source.connect(frames);
    void context.resume();
  }

  close() {
    this.#asked += 1;
    if (this.#stream) stop(this.#stream);
    void this.#context?.close();
    this.#stream = this.#context = this.analyser = null;
  }
}

/** @param {MediaStream} stream */
function stop(stream) {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
  return false;
}

/**
 * A context at 16 kHz where the browser can join the microphone to one; Firefox cannot when the device runs at
 * another rate, and then the worklet resamples.
 * @param {MediaStream} stream @returns {[AudioContext, MediaStreamAudioSourceNode]}
 */
function heardAt(stream) {
  const context = new AudioContext({ sampleRate: INPUT_RATE });
  try {
    return [context, context.createMediaStreamSource(stream)];
  } catch {
    void context.close();
    const plain = new AudioContext();
    return [plain, plain.createMediaStreamSource(stream)];
  }
}

/** The microphones there are; their names are known once one has been allowed. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === 'audioinput' && device.deviceId);
}
