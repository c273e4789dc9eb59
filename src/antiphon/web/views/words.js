// The conversation on the page: one list item an entry, changed only where the words changed, newest in view.

/** This near to the end of the list counts as being there, px. */
const NEAR = 60;

/** @typedef {{ entry: Entry, item: HTMLLIElement, parts: HTMLElement[] }} Shown */

export class Words {
  /** @type {Map<string, Shown>} */
  #shown = new Map();

  /**
   * @param {HTMLElement} frame what scrolls @param {HTMLElement} list
   * @param {(entry: Entry, place: HTMLElement) => void} explain fills in what an answer took
   */
  constructor(frame, list, explain) {
    this.frame = frame;
    this.list = list;
    this.explain = explain;
  }

  /** @param {Entry[]} entries */
  show(entries) {
    const { frame } = this;
    const following = frame.scrollHeight - frame.scrollTop - frame.clientHeight < NEAR;
    const keys = new Set(entries.map((entry) => entry.key));
    for (const [key, { item }] of this.#shown) {
      if (keys.has(key)) continue;
      item.remove();
      this.#shown.delete(key);
    }
    for (const entry of entries) this.#put(entry);
    if (following) frame.scrollTop = frame.scrollHeight;
  }

  /** @param {Entry} entry */
  #put(entry) {
    const shown = this.#shown.get(entry.key) ?? this.#add(entry);
    if (shown.entry === entry && shown.item.isConnected) return;
    if (!shown.item.isConnected) this.list.append(shown.item);
    shown.entry = entry;
    const { item, parts: [said, rest, mark] } = shown;
    item.className = `entry ${entry.who}${entry.final ? '' : ' interim'}${entry.cut === null ? '' : ' cut'}`;
    const at = entry.who === 'reply' ? entry.spoken : entry.text.length;
    said.textContent = entry.text.slice(0, at);
    rest.textContent = entry.text.slice(at);
    mark.textContent = entry.cut === null ? '' : ' (interrupted here)';
    if (entry.latency && !item.querySelector('.took')) this.#time(shown);
  }

  /** @param {Entry} entry @returns {Shown} */
  #add(entry) {
    const item = document.createElement('li');
    const [who, said, mark, rest] = ['unseen', 'said', 'unseen', 'rest'].map((name) => {
      const span = document.createElement('span');
      span.className = name;
      return span;
    });
    who.textContent = { you: 'You: ', reply: 'Antiphon: ', note: '' }[entry.who];
    item.append(who, said, mark, rest);
    const shown = { entry: { ...entry, text: '' }, item, parts: [said, rest, mark] };
    this.#shown.set(entry.key, shown);
    return shown;
  }

  /** The small line under an answer that opens what it took. @param {Shown} shown */
  #time(shown) {
    const { latency } = shown.entry;
    if (!latency?.latency_ms.first_sound) return;
    const seconds = ((latency.latency_ms.first_sound + latency.rtt_ms + latency.buffer_ms) / 1000).toFixed(2);
    const button = document.createElement('button');
    button.className = 'took';
    button.type = 'button';
    button.textContent = `${seconds} s`;
    button.ariaLabel = `First sound after ${seconds} seconds: how it came about`;
    button.ariaExpanded = 'false';
    button.onclick = () => {
      const open = button.ariaExpanded !== 'true';
      button.ariaExpanded = String(open);
      if (!open) return void button.nextElementSibling?.remove();
      const place = document.createElement('div');
      place.className = 'took-how';
      button.after(place);
      this.explain(shown.entry, place);
    };
    shown.item.append(document.createElement('br'), button);
  }
}
