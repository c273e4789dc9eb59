// Which of the page's sentences holds now (they stand in index.html), and the figures in it. Pure.

/** @type {(ms: number) => string} */
const seconds = (ms) => `${Math.max(1, Math.ceil(ms / 1000))} s`;

/** @type {(say: string, facts?: Record<string, string>, progress?: number) => Situation} */
const says = (say, facts = {}, progress) => ({ say, facts, progress });

/** @type {(s: State, now: number) => Situation} */
export function situation(s, now) {
	const { at, since } = s.retry ?? { at: now, since: now };
	switch (s.phase) {
		case 'idle':
			return says(['off', 'asking', 'on'].includes(s.mic) ? 'idle' : s.mic);
		case 'loading':
			return loading(s, now);
		case 'connecting':
			return says(s.mic === 'asking' ? 'asking' : 'connecting');
		case 'reconnecting':
			return says(at > now ? 'lost' : 'reconnecting', { ago: seconds(now - since), wait: seconds(at - now) });
		case 'busy':
			return says('busy', { wait: seconds(at - now) });
		case 'failed':
			return says('failed', { why: s.problem?.message ?? '' });
		case 'open':
			if (s.problem?.code.startsWith('budget')) return says('budget', { why: s.problem.message });
			return says(talking(s) || quiet(s));
	}
}

/** Someone speaks, or is about to. @type {(s: State) => string} */
function talking({ held, press, moment, reply, mode, mic, muted, latched, hearing, thinking }) {
	if (held && !press?.stopped) return 'held';
	if (reply?.action === 'hold') return 'paused';
	if (reply?.sounding) return mode === 'open_mic' && mic === 'on' && !muted ? 'speaking' : 'speaking-only';
	if (latched) return 'latched';
	if (thinking) return 'thinking';
	if (moment === 'interrupted') return moment;
	if (hearing) return 'hearing';
	return moment === 'stopped' ? moment : '';
}

/** Nobody speaks. @type {(s: State) => string} */
function quiet({ leaving, mic, moment, mode, muted }) {
	if (leaving !== null) return 'moving';
	if (mic !== 'on') return mic === 'off' ? 'typing' : mic;
	if (moment) return moment;
	if (mode === 'push_to_talk') return 'push';
	return muted ? 'muted' : 'listening';
}

/** @type {(s: State, now: number) => Situation} */
function loading({ loading: load, wanted }, now) {
	const then = wanted ? 'It starts by itself.' : 'Tap to start when ready.';
	if (!load || load.readiness.draining) return says('restarting', { then });
	const { fraction, line, failed } = loadingProgress(load.readiness);
	const why = load.readiness.error?.message ?? failed;
	if (why) return says('broken', { why });
	return says('loading', { line: line + remaining(now - load.since, load.first, fraction), then }, fraction);
}

/** @type {Record<string, string>} */
const DOING = { queued: 'waiting for its turn', warming: 'warming up' };

/** How far the models are: in words the one at work, as a fraction all of them. Loading and warming take about as
 * long as a fifth of a download on a fast line, so bytes are four fifths of the way.
 * @type {(readiness: Readiness) => { fraction: number, line: string, failed: string }} */
export function loadingProgress({ models }) {
	const broken = models.find(({ stage }) => stage === 'failed');
	const cold = models.filter(({ stage }) => stage !== 'warm');
	const busy = cold.find(({ stage }) => stage !== 'queued') ?? cold[0];
	let [done, total] = [0, 0];
	for (const { stage, done_bytes, total_bytes } of models) {
		const size = Math.max(total_bytes, 1);
		const fetched = stage === 'downloading' ? done_bytes / size : Number(stage !== 'queued' && stage !== 'failed');
		done += size * (stage === 'warm' ? 1 : 0.8 * fetched);
		total += size;
	}
	const [got, all] = [busy?.done_bytes ?? 0, busy?.total_bytes ?? 0].map((bytes) => Math.round(bytes / 1e6));
	const bytes = busy?.stage === 'downloading' && all ? `, ${got} of ${all} MB` : '';
	return {
		fraction: done / (total || 1),
		line: busy ? `${busy.id}: ${DOING[busy.stage] ?? busy.stage}${bytes}` : 'Waking the models',
		failed: broken ? `${broken.id}: ${broken.message || 'it failed.'}` : '',
	};
}

/** How long the rest takes at the pace so far; nothing until there is enough to go by.
 * @type {(ms: number, first: number, fraction: number) => string} ms since the first look; 0-1 done then and now */
export function remaining(ms, first, fraction) {
	const way = fraction - first;
	if (ms < 1500 || way < 0.01) return '';
	const left = ((1 - fraction) * ms) / way / 1000;
	if (left < 5) return ', a few seconds left';
	return left < 90 ? `, about ${Math.ceil(left / 5) * 5} s left` : `, about ${Math.round(left / 60)} minutes left`;
}
