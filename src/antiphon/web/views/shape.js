// The living shape: a canvas that is still when nobody speaks, opens like an iris with your voice, turns into a
// thin ring while it thinks, and moves as one body with its own voice.

/** How each situation looks: size of the body, its opening (0 full, 1 a thin ring), colour (1) or grey (0),
 * how strongly it drifts by itself, and how much of it shows.
 * @type {Record<Situation['name'], { size: number, open: number, colour: number, drift: number, show: number }>} */
const LOOKS = {
  idle: { size: 0.72, open: 0, colour: 1, drift: 0, show: 1 },
  waiting: { size: 0.6, open: 0.94, colour: 0.5, drift: 1, show: 0.9 },
  listening: { size: 0.72, open: 0, colour: 1, drift: 0.35, show: 1 },
  hearing: { size: 0.74, open: 0, colour: 1, drift: 0.5, show: 1 },
  thinking: { size: 0.5, open: 0.93, colour: 1, drift: 1.6, show: 0.9 },
  speaking: { size: 0.74, open: 0, colour: 1, drift: 0.6, show: 1 },
  interrupted: { size: 0.62, open: 0, colour: 0.75, drift: 0.2, show: 0.45 },
  muted: { size: 0.66, open: 0.9, colour: 0, drift: 0, show: 0.85 },
  trouble: { size: 0.66, open: 0.9, colour: 0, drift: 0, show: 0.85 },
};

/** Points of the outline; enough for five lobes without corners. */
const POINTS = 60;
/** Device pixels for a CSS pixel at most: beyond two nobody sees it and cheap phones feel it. */
const SHARPEST = 2;
/** How fast looks and levels follow, per ms: quick to open, slow to close, as a voice sounds. */
const [FOLLOW, RISE, FALL] = [0.007, 0.03, 0.006];

/** @typedef {{ mic: number, voice: number[] }} Levels 0-1; the voice in four bands, low to high */

const [LIGHT, BODY, DEEP, GREY] = [0, 1, 2, 3];
/** How far each band of the voice moves the outline, of the radius. */
const LOBES = [0.03, 0.045, 0.05, 0.04];

export class Shape {
  /** @type {number[][]} red, green, blue of each */
  #colours = [];
  #look = { ...LOOKS.idle };
  /** @type {Situation['name']} */
  #name = 'idle';
  #mic = 0;
  #voice = [0, 0, 0, 0];
  #time = 0;
  #last = 0;
  #frame = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  /** @param {HTMLCanvasElement} canvas @param {() => Levels} levels */
  constructor(canvas, levels) {
    this.canvas = canvas;
    this.levels = levels;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    new ResizeObserver(() => this.#fit()).observe(canvas);
    this.#still.onchange = () => this.show(this.#name);
    this.recolour();
  }

  /** Takes the colours from the style sheet anew. */
  recolour() {
    const style = getComputedStyle(this.canvas);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(`--shape-${name}`);
    this.#colours = ['light', 'body', 'deep', 'grey'].map((name) => (colour(name).match(/[\d.]+/g) ?? []).map(Number));
    this.#wake();
  }

  /** @param {Situation['name']} name */
  show(name) {
    this.#name = name;
    if (this.#still.matches) this.#look = { ...LOOKS[name] };
    this.#wake();
  }

  #fit() {
    const side = Math.round(this.canvas.clientWidth * Math.min(SHARPEST, devicePixelRatio));
    if (side && side !== this.canvas.width) this.canvas.width = this.canvas.height = side;
    this.#wake();
  }

  #wake() {
    this.#frame ||= requestAnimationFrame((now) => this.#tick(now));
  }

  /** @param {number} now */
  #tick(now) {
    const ms = Math.min(50, now - this.#last);
    this.#last = now;
    this.#frame = 0;
    const moving = !this.#still.matches && this.#move(ms);
    this.#draw();
    if (moving) this.#wake();
  }

  /** @param {number} ms @returns {boolean} whether there is more to come */
  #move(ms) {
    const goal = LOOKS[this.#name];
    let far = 0;
    for (const key of /** @type {(keyof typeof goal)[]} */ (Object.keys(goal))) {
      const gap = goal[key] - this.#look[key];
      this.#look[key] += gap * (1 - Math.exp(-FOLLOW * ms));
      far = Math.max(far, Math.abs(gap));
    }
    const { mic, voice } = this.levels();
    this.#mic = followed(this.#mic, this.#name === 'hearing' || this.#name === 'listening' ? mic : 0, ms);
    this.#voice = this.#voice.map((band, i) => followed(band, this.#name === 'speaking' ? voice[i] : 0, ms));
    this.#time += ms * 0.001 * (0.25 + this.#look.drift + 2 * this.#voice[0]);
    return far > 0.002 || goal.drift > 0 || Math.max(this.#mic, ...this.#voice) > 0.01;
  }

  #draw() {
    const { pen, canvas } = this;
    const { size, open, colour, show } = this.#look;
    const [mic, voice, half] = [this.#mic, this.#voice[0], canvas.width / 2];
    const radius = half * size * (1 + 0.06 * mic + 0.1 * voice);
    pen.setTransform(1, 0, 0, 1, half, half);
    pen.clearRect(-half, -half, 2 * half, 2 * half);
    pen.globalAlpha = show;
    this.#glow(0, 0, radius * 0.8, half, BODY, (0.16 + 0.3 * Math.max(mic, voice)) * colour);
    if (mic > 0.02) this.#ring(radius * (1.06 + 0.22 * mic), half * 0.012, 0.5 * mic);
    const body = this.#outline(radius);
    pen.fillStyle = this.#gradient(radius, colour);
    pen.fill(body);
    pen.save();
    pen.clip(body);
    this.#light(radius, colour, mic);
    pen.restore();
    if (open > 0.01) this.#hollow(radius, open);
  }

  /** The closed outline: a circle moved by slow drift, and by the voice's bands, each in its own number of lobes.
   * @param {number} radius */
  #outline(radius) {
    const t = this.#time;
    const path = new Path2D();
    const points = Array.from({ length: POINTS }, (_, i) => {
      const a = (i / POINTS) * 2 * Math.PI;
      let bend = 0.014 * Math.min(1, this.#look.drift * 2) * (Math.sin(2 * a + t) + Math.sin(3 * a - 1.3 * t));
      this.#voice.forEach((band, k) => (bend += LOBES[k] * band * Math.sin((k + 2) * a + (k % 2 ? -1 : 1) * (1.4 + k) * t)));
      return [radius * (1 + bend) * Math.cos(a), radius * (1 + bend) * Math.sin(a)];
    });
    points.forEach(([x, y], i) => {
      const [nx, ny] = points[(i + 1) % POINTS];
      path.quadraticCurveTo(x, y, (x + nx) / 2, (y + ny) / 2);
    });
    path.closePath();
    return path;
  }

  /** @param {number} radius @param {number} colour */
  #gradient(radius, colour) {
    const paint = this.pen.createRadialGradient(-0.3 * radius, -0.42 * radius, 0.05 * radius, 0, 0, 1.15 * radius);
    [LIGHT, BODY, DEEP].forEach((tone, i) => paint.addColorStop([0, 0.5, 1][i], this.#tone(tone, 1, colour)));
    return paint;
  }

  /** Soft lights that wander inside, so that the body has depth; in the middle it opens to your voice.
   * @param {number} radius @param {number} colour @param {number} mic */
  #light(radius, colour, mic) {
    const t = this.#time;
    const [x, y] = [radius * Math.cos(0.6 * t + 0.9), radius * Math.sin(0.8 * t + 0.9)];
    this.#glow(0.5 * radius - 0.15 * x, 0.55 * radius + 0.15 * y, 0, radius, DEEP, 0.4 * colour);
    this.#glow(-0.3 * x, -0.35 * y, 0, radius * 0.85, LIGHT, 0.6 * colour);
    if (mic > 0.02) this.#glow(0, 0, radius * 0.5 * mic, radius * (0.35 + 0.6 * mic), LIGHT, Math.min(1, 0.5 + mic));
  }

  /** Turned inward: all but a rim is gone. @param {number} radius @param {number} open */
  #hollow(radius, open) {
    const { pen } = this;
    const edge = pen.createRadialGradient(0, 0, 0, 0, 0, radius * open);
    edge.addColorStop(0.86, '#000');
    edge.addColorStop(1, '#0000');
    pen.globalCompositeOperation = 'destination-out';
    pen.globalAlpha = Math.min(1, open * 1.1);
    pen.fillStyle = edge;
    pen.fillRect(-radius, -radius, 2 * radius, 2 * radius);
    pen.globalCompositeOperation = 'source-over';
  }

  /** @param {number} radius @param {number} width @param {number} alpha */
  #ring(radius, width, alpha) {
    this.pen.strokeStyle = this.#tone(BODY, alpha);
    this.pen.lineWidth = width;
    this.pen.beginPath();
    this.pen.arc(0, 0, radius, 0, 2 * Math.PI);
    this.pen.stroke();
  }

  /** @param {number} x @param {number} y @param {number} from radius @param {number} to radius @param {number} tone @param {number} alpha */
  #glow(x, y, from, to, tone, alpha) {
    const paint = this.pen.createRadialGradient(x, y, from, x, y, to);
    paint.addColorStop(0, this.#tone(tone, alpha));
    paint.addColorStop(1, this.#tone(tone, 0));
    this.pen.fillStyle = paint;
    this.pen.fillRect(x - to, y - to, 2 * to, 2 * to);
  }

  /** One of the colours, as strong as asked, between itself and grey. @param {number} tone @param {number} alpha @param {number} [colour] */
  #tone(tone, alpha, colour = 1) {
    const parts = this.#colours[tone].map((part, i) => this.#colours[GREY][i] + (part - this.#colours[GREY][i]) * colour);
    return `rgb(${parts.join(' ')} / ${alpha})`;
  }
}

/** @param {number} level @param {number} goal @param {number} ms */
const followed = (level, goal, ms) => level + (goal - level) * (1 - Math.exp(-(goal > level ? RISE : FALL) * ms));
