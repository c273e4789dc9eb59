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
      usage?: Record<string, unknown>;
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

/** What one reply took, for its waterfall. */
interface Latency {
  stages: Stage[];
  latency_ms: Record<string, number>;
  rtt_ms: number;
  buffer_ms: number;
  cost_usd: number | null;
}

/** An entry of the flight recorder as the page keeps it. */
type FlightItem =
  | { kind: 'speech'; at: number; on: boolean }
  | { kind: 'words'; at: number; text: string; final: boolean }
  | { kind: 'decision'; at: number; name: string; reason: string; details: Record<string, unknown> }
  | { kind: 'reply'; at: number; reply: string; what: 'asked' | 'sound' | 'duck' | 'hold' | 'resume' | 'cut' | 'done' };

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
  moment: '' | 'interrupted' | 'stopped' | 'back' | 'fresh';
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
  | { do: 'connect' | 'disconnect' | 'flush' }
  | { do: 'microphone'; on: boolean }
  | { do: 'send'; message: Record<string, unknown> & { type: string } }
  | { do: 'voice'; action: 'duck' | 'hold' | 'resume' }
  | { do: 'begin' | 'finish'; reply: string; from_ms: number }
  | { do: 'after'; ms: number; event: PageEvent };

/** What the page says about itself now. */
interface Situation {
  /** Names the look of the shape: see theme and views/shape.js. */
  name:
    | 'idle'
    | 'waiting'
    | 'listening'
    | 'hearing'
    | 'thinking'
    | 'speaking'
    | 'interrupted'
    | 'muted'
    | 'trouble';
  title: string;
  hint: string;
  /** What a press of the shape does: its accessible name. */
  action: string;
  /** How far the models are, 0-1, while they load. */
  progress?: number;
}
