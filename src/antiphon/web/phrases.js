// What the page says about itself: one sentence for each state, and what to do next. Pure.

/** @type {Record<MicFault, [string, string]>} */
const FAULTS = {
  refused: [
    'Microphone is blocked',
    'Allow it with the icon beside the address, then tap to try again. Typing works meanwhile.',
  ],
  missing: ['No microphone found', 'Plug one in, then tap to try again. Typing works meanwhile.'],
  taken: [
    'Microphone is in use',
    'Another app is holding it. Close that one, then tap to try again. Typing works meanwhile.',
  ],
  insecure: [
    'This page is not secure',
    'Browsers give the microphone to https pages only. Open this page with https://. Typing works meanwhile.',
  ],
};

/** @param {number} ms */
const seconds = (ms) => `${Math.max(1, Math.ceil(ms / 1000))} s`;

/** @param {Situation['name']} name @param {string} title @param {string} hint @param {string} action @returns {Situation} */
const says = (name, title, hint, action) => ({ name, title, hint, action });

/** @param {State} s @param {number} now performance.now() @returns {Situation} */
export function situation(s, now) {
  switch (s.phase) {
    case 'idle':
      return s.mic === 'asking' || s.mic === 'on' || s.mic === 'off'
        ? says('idle', 'Tap to talk', 'Or hold space, or type below.', 'Start talking')
        : fault(s.mic);
    case 'loading':
      return loading(s, now);
    case 'connecting':
      return s.mic === 'asking'
        ? says('waiting', 'Allow the microphone', 'Your browser is asking. You can also just type.', 'Connecting')
        : says('waiting', 'Connecting', 'One moment.', 'Connecting');
    case 'reconnecting':
      return lost(s, now);
    case 'busy':
      return says(
        'waiting',
        'All lines are busy',
        `Trying again in ${seconds((s.retry?.at ?? now) - now)}. Keep this page open.`,
        'Try now',
      );
    case 'failed':
      return says('trouble', 'Not let in', `${s.problem?.message ?? ''} Tap to try again.`, 'Try again');
    case 'open':
      return open(s);
  }
}

/** @param {MicFault} mic */
const fault = (mic) => says('trouble', ...FAULTS[mic], 'Try the microphone again');

/** @param {State} s @param {number} now */
function lost(s, now) {
  const { at, since } = s.retry ?? { at: now, since: now };
  const next = at > now ? `Trying again in ${seconds(at - now)}.` : 'Trying now.';
  return says('waiting', 'Reconnecting', `Connection lost ${seconds(now - since)} ago. ${next}`, 'Try now');
}

/** @param {State} s */
function open(s) {
  if (s.problem?.code.startsWith('budget')) return says('trouble', 'Budget reached', s.problem.message, 'Try again');
  if (s.held && !s.press?.stopped) return says('hearing', 'Go ahead', 'Let go when you are done.', 'Talking');
  if (s.moment === 'interrupted') return says('interrupted', 'You interrupted', 'Go on.', 'Mute');
  if (s.reply?.action === 'hold') return says('interrupted', 'Waiting for you', 'Go on, or let it finish.', 'Stop');
  if (s.reply?.sounding) {
    const how = s.mode === 'open_mic' && s.mic === 'on' && !s.muted ? 'Speak to interrupt, or tap to stop.' : 'Tap to stop.';
    return says('speaking', 'Speaking', how, 'Stop speaking');
  }
  if (s.hearing || s.latched) {
    return s.latched
      ? says('hearing', 'Go ahead', 'Tap when you are done.', 'Done talking')
      : says('hearing', 'Hearing you', 'Take your time.', 'Mute');
  }
  if (s.thinking) return says('thinking', 'Thinking', 'Just a moment.', 'Mute');
  if (s.moment === 'stopped') return says('interrupted', 'Stopped', 'Your turn.', 'Mute');
  return quiet(s);
}

/** Nobody speaks. @param {State} s */
function quiet(s) {
  if (s.leaving !== null) return says('waiting', 'Moving over', 'The server is changing places. Back in a moment.', 'Mute');
  if (s.mic === 'asking') return says('waiting', 'Allow the microphone', 'Your browser is asking. You can also just type.', 'Mute');
  if (s.mic === 'off') return says('idle', 'Tap to talk', 'Or go on typing.', 'Start talking');
  if (s.mic !== 'on') return fault(s.mic);
  if (s.moment === 'back') return says('listening', 'Back again', 'Right where we were.', 'Mute');
  if (s.moment === 'fresh') return says('listening', 'Back again', 'This is a new conversation.', 'Mute');
  if (s.mode === 'push_to_talk') {
    return says('muted', 'Hold to talk', 'Hold the circle or space. Or tap once to begin and once to end.', 'Talk');
  }
  if (s.muted) return says('muted', 'Muted', 'It cannot hear you. Tap to go on.', 'Unmute');
  return says('listening', 'Listening', 'Just speak. Tap to mute.', 'Mute');
}

/** @type {Record<ModelStage, string>} */
const STAGES = {
  queued: 'waiting for its turn',
  downloading: 'downloading',
  checking: 'checking',
  loading: 'loading',
  warming: 'warming up',
  warm: 'ready',
  failed: 'failed',
};

/** @param {State} s @param {number} now @returns {Situation} */
function loading({ loading: load, wanted }, now) {
  const then = wanted ? 'It starts by itself.' : 'Tap to start as soon as it is ready.';
  const action = 'Start when ready';
  if (load?.readiness.error) return says('trouble', 'The models would not load', load.readiness.error.message, action);
  if (!load || load.readiness.draining) return says('waiting', 'Restarting', `The server will be back in a moment. ${then}`, action);
  const { fraction, line, failed } = loadingProgress(load.readiness);
  if (failed) return says('trouble', 'A model would not load', failed, action);
  const left = remaining(now - load.since, load.first, fraction);
  return { ...says('waiting', 'Getting ready', `${line}${left}. ${then}`, action), progress: fraction };
}

/** @param {number} bytes */
const megabytes = (bytes) => Math.round(bytes / 1e6);

/**
 * How far the models are: the one at work, and all of them as a fraction. Loading and warming take about as
 * long as a fifth of a download on a fast line, so bytes are four fifths of the way.
 * @param {Readiness} readiness
 */
export function loadingProgress({ models }) {
  const broken = models.find((model) => model.stage === 'failed');
  const busy = models.find((model) => model.stage !== 'warm' && model.stage !== 'queued') ?? models.find((model) => model.stage !== 'warm');
  const total = models.reduce((sum, model) => sum + Math.max(model.total_bytes, 1), 0);
  const done = models.reduce((sum, model) => sum + Math.max(model.total_bytes, 1) * share(model), 0);
  const bytes = busy?.stage === 'downloading' && busy.total_bytes
    ? `, ${megabytes(busy.done_bytes)} of ${megabytes(busy.total_bytes)} MB` : '';
  const warm = models.filter((model) => model.stage === 'warm').length;
  return {
    fraction: total ? done / total : 0,
    line: busy ? `${busy.id}: ${STAGES[busy.stage]}${bytes} (${warm} of ${models.length} ready)` : 'waking the models',
    failed: broken ? `${broken.id}: ${broken.message || 'failed to load.'}` : '',
  };
}

/** @param {ModelProgress} model */
function share({ stage, done_bytes, total_bytes }) {
  if (stage === 'warm') return 1;
  if (stage === 'queued' || stage === 'failed') return 0;
  const fetched = stage === 'downloading' ? done_bytes / Math.max(total_bytes, 1) : 1;
  return 0.8 * fetched;
}

/** How long the rest takes at the pace so far; nothing until there is enough to go by.
 * @param {number} ms since the first look @param {number} first @param {number} fraction done then and now, 0-1 */
export function remaining(ms, first, fraction) {
  const way = fraction - first;
  if (ms < 1500 || way < 0.01) return '';
  const left = ((1 - fraction) * ms) / way / 1000;
  if (left < 5) return ', a few seconds left';
  return left < 90 ? `, about ${Math.ceil(left / 5) * 5} s left` : `, about ${Math.round(left / 60)} minutes left`;
}
