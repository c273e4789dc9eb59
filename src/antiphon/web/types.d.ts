// The shapes that the page's modules share. Read by the type checker only; browsers never load this file.
// Messages are those of docs/protocol.md; times are milliseconds, `at` being milliseconds of microphone sound sent.

type Mode = 'open_mic' | 'push_to_talk';
type Theme = 'auto' | 'light' | 'dark';
type MicFault = 'refused' | 'missing' | 'taken' | 'insecure';

/** What a person chose; kept in the browser. */
interface Preferences {
  mode: Mode;
  voice: string;
  language: string;
  /** Null, like an empty voice or language, leaves the choice to the server. */
  speed: number | null;
  microphone: string;
  /** Echo cancellation, noise suppression and gain control by the browser. */
  processing: boolean;
  instructions: string;
  theme: Theme;
  /** Whether the room check was done or declined: it is offered once. */
  checked: boolean;
  /** Whether a screen reader should read the words of the conversation too. */
  announce: boolean;
}

/** `GET /api/options`. */
interface Options {
  voices: { id: string; name: string; language: string }[];
  languages: string[];
  modes: Mode[];
  default_voice: string;
  default_language: string;
  default_speed: number;
  ticket_required: boolean;
  instructions_max: number;
}

type ModelStage = 'queued' | 'downloading' | 'checking' | 'loading' | 'warming' | 'warm' | 'failed';
interface ModelProgress {
  id: string;
  stage: ModelStage;
  done_bytes: number;
  total_bytes: number;
  message: string;
}

/** `GET /ready`. */
interface Readiness {
  ready: boolean;
  draining: boolean;
  models: ModelProgress[];
  error?: { code: string; message: string } | null;
}

interface Stage {
  name: string;
  start_ms: number;
  end_ms: number;
}

/** How far a reply was heard. */
interface Played {
  reply_id: string;
  ms: number;
}

type ServerMessage = { seq?: number } & (
  | {
      type: 'session';
      session_id: string;
      epoch: number;
      resume_token: string | null;
      input_rate: number;
      output_rate: number;
      resumed: boolean;
    }
  | { type: 'speech_started' | 'speech_stopped'; at_ms: number }
  | { type: 'transcript'; turn_id: string; text: string; final: boolean; language?: string }
  | { type: 'response_started'; turn_id: string; reply_id: string }
  | { type: 'response_text'; reply_id: string; text: string }
  | { type: 'audio_started'; reply_id: string; from_ms?: number }
  | { type: 'audio_done'; reply_id: string; total_ms: number }
  | { type: 'playback'; reply_id: string; action: 'duck' | 'hold' | 'resume' }
  | { type: 'interrupted'; reply_id: string; heard_ms: number; heard_text: string }
  | {
      type: 'response_done';
      turn_id: string;
      reply_id: string;
      text: string;
      latency_ms: Record<string, number>;
      stages?: Stage[];
      usage?: Usage;
      interrupted?: boolean;
      error?: string;
    }
  | { type: 'decision'; at_ms: number; kind: string; reason: string; details: Record<string, unknown> }
  | { type: 'notice'; kind: string; message: string }
  | { type: 'going_away'; reconnect_in_ms: number }
  | { type: 'error'; code: string; message: string; retryable: boolean; retry_after_ms?: number }
  | { type: 'pong' }
);

/** One entry of the words on the page. `spoken` and `cut` count characters of `text`. */
interface Entry {
  key: string;
  who: 'you' | 'reply' | 'note';
  text: string;
  final: boolean;
  /** How much of a reply has been heard so far. */
  spoken: number;
  /** Where a reply was cut off, or null. */
  cut: number | null;
  /** Whether the reply has a voice: without one, its words count as heard when they are done. */
  voiced: boolean;
  latency: Latency | null;
}

/** What a reply's provider calls used. */
interface Usage {
  cost_usd?: number | null;
  /** What was prepared and thrown away, contained in the totals. */
  discarded?: { audio_s: number; output_tokens: number; characters: number };
}

/** What one reply took, for its waterfall. */
interface Latency {
  stages: Stage[];
  latency_ms: Record<string, number>;
  rtt_ms: number;
  buffer_ms: number;
  usage: Usage | undefined;
}

/** An entry of the flight recorder as the page keeps it. */
type FlightItem =
  | { kind: 'speech'; at: number; on: boolean }
  | { kind: 'words'; at: number; text: string; final: boolean }
  | { kind: 'decision'; at: number; name: string; reason: string; details: Record<string, unknown> }
  | { kind: 'reply'; at: number; reply: string; what: 'asked' | 'sound' | 'duck' | 'hold' | 'resume' | 'cut' | 'end' | 'done' };

type Phase = 'idle' | 'loading' | 'connecting' | 'open' | 'reconnecting' | 'busy' | 'failed';

interface State {
  phase: Phase;
  mic: 'off' | 'asking' | 'on' | MicFault;
  mode: Mode;
  muted: boolean;
  /** The shape or space is held down. */
  held: boolean;
  /** Push-to-talk by tapping: talking until the next tap. */
  latched: boolean;
  /** What the press under way found when it began. */
  press: { stopped: boolean; latched: boolean } | null;
  hearing: boolean;
  thinking: boolean;
  /** What passes by itself after a moment. */
  moment: '' | 'interrupted' | 'stopped' | 'missed' | 'back' | 'fresh';
  reply: { id: string; sounding: boolean; action: '' | 'duck' | 'hold' } | null;
  entries: Entry[];
  session: { id: string; epoch: number; token: string | null; seq: number } | null;
  retry: { attempt: number; at: number; since: number } | null;
  /** The server asked us to come back: in how many ms. */
  leaving: number | null;
  /** Settings changed: reconnect, keeping the conversation, when nothing is under way. */
  stale: boolean;
  /** Talk as soon as the models are ready. */
  wanted: boolean;
  loading: { readiness: Readiness; since: number; first: number } | null;
  problem: { code: string; message: string } | null;
  /** Typed turns waiting for the connection. */
  outbox: string[];
  /** Characters spoken in a ms, learned from replies already heard. */
  pace: number;
  flight: FlightItem[];
}

/** Everything that can happen. `now` is performance.now(), `random` 0-1, both read by the shell. */
type PageEvent =
  | { type: 'press' | 'mute' | 'stop' | 'end' | 'clear' | 'online' | 'settle' | 'tail' | 'lull' | 'move' }
  | { type: 'release'; long: boolean }
  | { type: 'say'; text: string }
  | { type: 'settings'; mode: Mode }
  | { type: 'readiness'; readiness: Readiness; now: number }
  | { type: 'mic'; mic: State['mic'] }
  | { type: 'message'; message: ServerMessage; now: number; at: number; rtt_ms: number; buffer_ms: number }
  | { type: 'closed'; code: number; now: number; random: number }
  | { type: 'refused'; message: string }
  | { type: 'retry'; attempt: number }
  | { type: 'sound'; reply: string; ms: number; at: number; done: boolean };

/** What the shell is to do. */
type Command =
  | { do: 'connect' }
  | { do: 'disconnect' }
  | { do: 'flush' }
  | { do: 'microphone'; on: boolean }
  | { do: 'send'; message: Record<string, unknown> & { type: string } }
  | { do: 'voice'; action: 'duck' | 'hold' | 'resume' | 'finish'; reply: string }
  | { do: 'begin'; reply: string; from_ms: number }
  | { do: 'after'; ms: number; event: PageEvent };

/** What the page says about itself now. */
interface Situation {
  /** The sentence: `say-…` in index.html, which also tells how the shape looks and what a press of it does. */
  say: string;
  /** The figures and reasons in it. */
  facts: Record<string, string>;
  /** How far the models are, 0-1, while they load. */
  progress: number | undefined;
}

// ---- how the state changes ----------------------------------------------------------------------------------

type Do = (command: Command) => unknown;
/** The member of a union whose `type` is, or includes, T. */
type Of<U, T> = U extends { type: infer K } ? (T extends K ? U & { type: T } : never) : never;
type Told = Of<PageEvent, 'message'>;
type Steps = { [T in PageEvent['type']]: (s: State, event: Of<PageEvent, T>, run: Do) => State };
type Sayings = { [T in ServerMessage['type']]: (s: State, message: Of<ServerMessage, T>, event: Told, run: Do) => State };
type SoundItem = Extract<FlightItem, { kind: 'reply' }>['what'];

/** conversation.js: the words on the page. */
interface Words {
  /** A typed turn, shown at once; the server names it later. */
  typed(entries: Entry[], text: string): Entry[];
  /** A quiet line of the page's own. */
  noted(entries: Entry[], text: string): Entry[];
  /** What the server heard, interim or final. */
  transcribed(entries: Entry[], heard: { turn_id: string; text: string; final: boolean }): Entry[];
  /** The next piece of a reply's text. */
  written(entries: Entry[], key: string, text: string): Entry[];
  /** The reply has a voice. */
  voiced(entries: Entry[], key: string): Entry[];
  /** How far a reply has been heard: ms of its sound, at so many characters a ms. */
  spokenTo(entries: Entry[], key: string, ms: number, done: boolean, pace: number): Entry[];
  /** The end of the word that lies at `at` characters. */
  wordEnd(text: string, at: number): number;
  /** The reply was cut off where `heard` ends. */
  cutOff(entries: Entry[], key: string, heard: string): Entry[];
  /** Where `heard` ends in `text`, in characters. */
  heardEnd(text: string, heard: string): number;
  /** The reply is over; `whole` is its text, if none came piece by piece. */
  finished(entries: Entry[], key: string, whole: string, latency: Latency): Entry[];
  /** The conversation as plain text, for copying and saving. */
  asText(entries: Entry[]): string;
}

/** Who is told what comes over the socket. */
interface Hearer {
  opened(): void;
  message(message: ServerMessage): void;
  audio(pcm: ArrayBuffer): void;
  closed(code: number): void;
}

/** app.js: how each command is carried out. */
type Orders = { [T in Command['do']]: (command: Extract<Command, { do: T }>) => unknown };

/** room.js: what the check found. */
interface Verdict {
  /** dBFS of the quiet room. */
  noise: number;
  /** dBFS of the speakers' tones in the microphone. */
  speakers: number;
  mode: Mode;
  /** `verdict-…` in index.html. */
  say: 'dead' | 'bleeds' | 'loud' | 'good';
}

// ---- the parts that app.js wires together -------------------------------------------------------------------

interface Connection {
  /** Milliseconds there and back. */
  readonly rtt: number;
  open(address: string, protocols: string[]): void;
  /** Leaves without a word to the hearer. */
  close(): void;
  send(message: { type: string }): unknown;
  /** Whether it left: on a slow line, sound is dropped. */
  /** `late`: said while the line was lost, and to be sent however full it is. */
  sendAudio(pcm: ArrayBuffer, late?: boolean): boolean;
}
type MakeConnection = (hearer: Hearer) => Connection;

interface Microphone {
  /** Opens it, anew if it is open; true if it still is in the end. Throws what `faultOf` reads. */
  open(wishes: { microphone: string; processing: boolean }): Promise<true | void>;
  close(): void;
}
type MakeMicrophone = (onFrame: (pcm: ArrayBuffer, level: number) => void, onLost: (fault: MicFault) => void) => Microphone;

interface Playback {
  context?: AudioContext;
  analyser?: AnalyserNode;
  /** From the wire to the ear: the sound gathered before it starts, and the device's own delay, ms. */
  readonly store: number;
  /** Makes ready to sound. Call from a press or a key: browsers start audio only then. */
  wake(): void;
  /** `from_ms`: where in the reply its sound begins. */
  begin(reply: string, from_ms: number): void;
  /** Sound of the reply begun last. */
  add(pcm: ArrayBuffer): void;
  /** `finish`: all sound of the reply has come. */
  set(action: 'duck' | 'hold' | 'resume' | 'finish', reply?: string): void;
  /** Silence now. */
  flush(): void;
}
type MakePlayback = (onPosition: (reply: string, ms: number, done: boolean) => void) => Playback;

interface Shape {
  /** Takes the colours from the style sheet anew. */
  recolour(): void;
  /** `data-look` of the sentence that holds. */
  show(look: string): void;
}
/** Levels 0-1; the voice in four bands, low to high. */
type MakeShape = (canvas: HTMLCanvasElement, levels: () => { mic: number; voice: number[] }) => Shape;

/** `frame` scrolls; `explain` fills in what an answer took. */
type MakeList = (
  frame: HTMLElement,
  list: HTMLElement,
  explain: (entry: Entry, place: HTMLElement) => void,
) => (entries: Entry[]) => void;

interface Drawer {
  listMicrophones(): Promise<void>;
  setMode(mode: Mode): void;
  /** What this server offers; a choice that is no longer there goes back to the server's. */
  offer(options: Options): Partial<Preferences>;
  /** Root mean square of the microphone, 0-1. */
  meter(level: number): void;
}
type MakeDrawer = (chosen: Preferences, onChange: (changed: Partial<Preferences>) => void) => Drawer;
