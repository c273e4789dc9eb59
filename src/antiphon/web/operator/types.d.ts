// What the server tells operators. Read by the type checker only; browsers never load this file.

interface Percentiles {
  p50_ms: number | null;
  p95_ms: number | null;
  /** Share of the turns, 0-1, that kept to the budget. */
  within: number | null;
  turns: number;
}

interface ProviderFigures {
  kind: 'asr' | 'llm' | 'tts';
  provider: string;
  /** Empty where no breaker is known. */
  breaker: '' | 'closed' | 'open' | 'half_open';
  last_error: string;
  calls: number;
  cached: number;
  failed: number;
  errors: Record<string, number>;
  first_ms: number | null;
  cost_usd: number;
  wasted_usd: number;
  unpriced: number;
}

/** `GET /api/operator/now`. */
interface Now {
  /** Seconds since 1970, as all times of day here. */
  at: number;
  version: string;
  ready: boolean;
  /** Servers that the figures are of. */
  replicas: number;
  /** False: the store is away, and this is the answering one's part. */
  whole: boolean;
  transcripts: boolean;
  sessions: { now: number; max: number };
  /** What `first_sound`, turns and calls are of. */
  minutes: number;
  first_sound: Percentiles;
  turns: number;
  /** Those of `turns` that ended with an error. */
  failed_turns: number;
  provider_calls: number;
  /** Those of `provider_calls` that a provider failed. */
  failed_calls: number;
  /** `degraded`: the budget is spent, and cheaper models go on. */
  cost: { today_usd: number; budget_usd: number | null; degraded: boolean; wasted_usd: number; unpriced: number };
  budget_ms: number;
  providers: ProviderFigures[];
  lag_ms: number | null;
  last_errors: { at_s: number; what: string; kind: string; cause: string }[];
  /** Entries and alerts; empty where there is no ledger yet. */
  ledger: { waiting?: number; lost?: number; alerts_failed?: number };
  last_turn_s: number;
}

interface Point extends Percentiles {
  at: number;
  sessions: number;
  failed_turns: number;
  failed_calls: number;
  cost_usd: number;
}

interface StageFigures {
  stage: string;
  budget_ms: number | null;
  typical_ms: number | null;
  p95_ms: number | null;
  within: number | null;
  /** Most turns took longer than the budget. */
  late: boolean;
  turns: number;
}

/** `GET /api/operator/day`. */
interface Day {
  at: number;
  step_s: number;
  points: Point[];
  budget_ms: Record<string, number>;
  report: { first_sound: StageFigures; stages: StageFigures[] };
}

/** One of `GET /api/operator/turns`. */
interface Turn {
  ended_s: number;
  session: string;
  turn_id: string;
  latency_ms: Record<string, number>;
  stages: { name: string; start_ms: number; end_ms: number }[];
  providers: Record<string, string>;
  cost_usd: number | null;
  interrupted: boolean;
  error: string;
  trace_id: string;
  asked: string;
  answered: string;
}

/** One of `GET /api/sessions`. */
interface LiveSession {
  id: string;
  seconds: number;
  turns: number;
  interrupted: number;
  failures: number;
  cost_usd: number | null;
  address: string;
  key: string;
  away: boolean;
  replica: string;
}

/** The vendored uPlot, as far as it is used here. */
interface PlotOptions {
  width: number;
  height: number;
  cursor?: object;
  legend?: object;
  scales?: object;
  axes?: object[];
  series: object[];
  hooks?: object;
}
declare class uPlot {
  constructor(options: PlotOptions, data: (number | null)[][], place: HTMLElement);
  setData(data: (number | null)[][]): void;
  setSize(size: { width: number; height: number }): void;
  destroy(): void;
}
