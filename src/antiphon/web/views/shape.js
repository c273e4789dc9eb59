// The living shape: a canvas that is still when nobody speaks, opens with your voice, turns into a thin ring while it
// thinks, and moves as one body with its own voice.

/** How it looks: size of the body; 0 full to 1 a thin ring; grey 0 to 1 colour; its own drift; how much of it shows.
 * @type {Record<string, number[]>} */
const LOOKS = {
	idle: [0.72, 0, 1, 0, 1],
	waiting: [0.6, 0.94, 0.5, 1, 0.9],
	listening: [0.72, 0, 1, 0.35, 1],
	hearing: [0.74, 0, 1, 0.5, 1],
	thinking: [0.5, 0.93, 1, 1.6, 0.9],
	speaking: [0.74, 0, 1, 0.6, 1],
	interrupted: [0.62, 0, 0.75, 0.2, 0.45],
	ready: [0.66, 0.9, 1, 0, 1],
	muted: [0.66, 0.9, 0, 0, 0.85],
	trouble: [0.66, 0.9, 0, 0, 0.85],
};
/** Points of the outline: enough for five lobes without corners; and how far each band of the voice moves it. */
const [POINTS, LOBES] = [60, [0.03, 0.045, 0.05, 0.04]];
/** Device pixels for a CSS pixel at most: beyond two nobody sees it and cheap phones feel it. */
const SHARPEST = 2;
/** How fast looks and levels follow, per ms: quick to open, slow to close, as a voice sounds. */
const [FOLLOW, RISE, FALL] = [0.007, 0.03, 0.006];
const [LIGHT, BODY, DEEP, GREY] = [0, 1, 2, 3];

/** @type {(from: number, to: number, pace: number) => number} */
const toward = (from, to, pace) => from + (to - from) * (1 - Math.exp(-pace));

/** @type {MakeShape} */
export function shape(canvas, levels) {
	const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
	const still = matchMedia('(prefers-reduced-motion: reduce)');
	let colours = /** @type {number[][]} */ ([]); // red, green, blue of each
	let [name, look, mic, voice] = ['idle', LOOKS.idle, 0, [0, 0, 0, 0]];
	let [time, last, frame] = [0, 0, 0];

	function wake() {
		frame ||= requestAnimationFrame((now) => {
			frame = 0;
			if (move(Math.min(50, now - last))) wake();
			last = now;
			draw();
		});
	}

	/** Whether there is more to come. @param {number} ms */
	function move(ms) {
		const goal = LOOKS[name];
		const far = Math.max(...goal.map((value, i) => Math.abs(value - look[i])));
		look = still.matches ? goal : goal.map((value, i) => toward(look[i], value, FOLLOW * ms));
		if (still.matches) return false;
		const now = levels();
		/** @type {(level: number, heard: number) => number} */
		const follow = (level, heard) => toward(level, heard, (heard > level ? RISE : FALL) * ms);
		mic = follow(mic, name === 'hearing' || name === 'listening' ? now.mic : 0);
		voice = voice.map((level, i) => follow(level, name === 'speaking' ? now.voice[i] : 0));
		time += ms * 0.001 * (0.25 + look[3] + 2 * voice[0]);
		return far > 0.002 || goal[3] > 0 || Math.max(mic, ...voice) > 0.01;
	}

	function draw() {
		const [size, open, colour, , show] = look;
		const half = canvas.width / 2;
		const r = half * size * (1 + 0.06 * mic + 0.1 * voice[0]);
		pen.setTransform(1, 0, 0, 1, half, half);
		pen.clearRect(-half, -half, 2 * half, 2 * half);
		pen.globalAlpha = show;
		glow(0, 0, r * 0.8, half, BODY, (0.16 + 0.3 * Math.max(mic, voice[0])) * colour);
		// Your voice: a ring that leaves the body, as far as you are loud.
		pen.strokeStyle = tone(BODY, 0.5 * mic);
		pen.lineWidth = half * 0.012;
		if (mic > 0.01) pen.stroke(outline(r * (1.06 + 0.22 * mic)));
		const body = outline(r);
		const paint = pen.createRadialGradient(-0.3 * r, -0.42 * r, 0.05 * r, 0, 0, 1.15 * r);
		[LIGHT, BODY, DEEP].forEach((hue, i) => paint.addColorStop(i / 2, tone(hue, 1, colour)));
		pen.fillStyle = paint;
		pen.fill(body);
		pen.save();
		pen.clip(body);
		// Soft lights wander inside, so that it has depth; in the middle it opens to your voice.
		const [x, y] = [r * Math.cos(0.6 * time + 0.9), r * Math.sin(0.8 * time + 0.9)];
		glow(0.5 * r - 0.15 * x, 0.55 * r + 0.15 * y, 0, r, DEEP, 0.4 * colour);
		glow(-0.3 * x, -0.35 * y, 0, r * 0.85, LIGHT, 0.6 * colour);
		glow(0, 0, r * 0.5 * mic, r * (0.35 + 0.6 * mic), LIGHT, Math.min(1, 3 * mic));
		pen.restore();
		hollow(r * open, open);
	}

	/** A circle moved by slow drift, and by the voice's bands, each in its own number of lobes. @param {number} r */
	function outline(r) {
		const drift = 0.014 * Math.min(1, look[3] * 2);
		const points = Array.from({ length: POINTS }, (_, i) => {
			const a = (i / POINTS) * 2 * Math.PI;
			const lobes = voice.map((level, k) => LOBES[k] * level * Math.sin((k + 2) * a + (k % 2 ? -1 : 1) * (1.4 + k) * time));
			const bent = 1 + drift * (Math.sin(2 * a + time) + Math.sin(3 * a - 1.3 * time));
			const far = r * lobes.reduce((sum, lobe) => sum + lobe, bent);
			return [far * Math.cos(a), far * Math.sin(a)];
		});
		const path = new Path2D();
		points.forEach(([x, y], i) => {
			const [nextX, nextY] = points[(i + 1) % POINTS];
			path.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
		});
		path.closePath();
		return path;
	}

	/** Turned inward: all but a rim is gone. @type {(r: number, open: number) => void} */
	function hollow(r, open) {
		const edge = pen.createRadialGradient(0, 0, 0, 0, 0, r);
		edge.addColorStop(0.86, `rgb(0 0 0 / ${Math.min(1, open * 1.1)})`);
		edge.addColorStop(1, '#0000');
		pen.globalAlpha = 1;
		pen.globalCompositeOperation = 'destination-out';
		pen.fillStyle = edge;
		pen.fillRect(-r, -r, 2 * r, 2 * r);
		pen.globalCompositeOperation = 'source-over';
	}

	/** @type {(x: number, y: number, from: number, to: number, hue: number, alpha: number) => void} */
	function glow(x, y, from, to, hue, alpha) {
		const paint = pen.createRadialGradient(x, y, from, x, y, to);
		paint.addColorStop(0, tone(hue, alpha));
		paint.addColorStop(1, tone(hue, 0));
		pen.fillStyle = paint;
		pen.fillRect(x - to, y - to, 2 * to, 2 * to);
	}

	/** A colour, somewhere between grey (0) and itself (1). @type {(hue: number, alpha: number, colour?: number) => string} */
	function tone(hue, alpha, colour = 1) {
		const parts = colours[hue].map((part, i) => colours[GREY][i] + (part - colours[GREY][i]) * colour);
		return `rgb(${parts.join(' ')} / ${alpha})`;
	}

	function recolour() {
		const style = getComputedStyle(canvas);
		const texts = ['light', 'body', 'deep', 'grey'].map((hue) => style.getPropertyValue(`--shape-${hue}`));
		colours = texts.map((text) => (text.match(/[\d.]+/g) ?? []).map(Number));
		wake();
	}

	new ResizeObserver(() => {
		canvas.width = canvas.height = Math.round(canvas.clientWidth * Math.min(SHARPEST, devicePixelRatio));
		wake();
	}).observe(canvas);
	matchMedia('(prefers-color-scheme: dark)').onchange = recolour;
	recolour();
	return {
		recolour,
		show(next) {
			name = next;
			wake();
		},
	};
}
