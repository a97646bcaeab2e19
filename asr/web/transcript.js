// Shows a transcript: a line for each segment, words that light up and can be chosen.

const UNSURE = [0.3, 0.5, 0.7, 0.85]; // probabilities below which a word is shaded, darkest first
const SPEAKER_COLOURS = 6;
const SEEK_SLIP = 0.01; // seconds: a player may stand so much before where it was sent
const NEAR_END = 48; // pixels: a reader so near the end follows the text as it grows

export class Transcript {
  /** `seek(seconds)` is called for the word or the time that was chosen. */
  constructor(box, log, seek) {
    this.box = box;
    this.log = log; // says the words to screen readers
    this.seek = seek;
    this.clear();
    box.addEventListener("click", ({ target }) => this.choose(target.closest(".word, .time")));
    box.addEventListener("keydown", (event) => this.key(event));
  }

  clear() {
    this.box.replaceChildren();
    this.log.replaceChildren();
    this.lines = []; // {element, time, body, text, partial, segment}
    this.words = []; // {element, start, end}, in order
    this.speakers = new Map(); // speaker → number
    this.current = null;
    this.reachable = null;
  }

  /** Show a note in the place of text. */
  note(text) {
    const element = document.createElement("p");
    element.className = "empty";
    element.textContent = text;
    this.box.replaceChildren(element);
  }

  /** A new line, whose text comes bit by bit; it is the last one, or stands behind another. */
  line(before = null) {
    const tags = ["p", "button", "span", "span", "span"];
    const made = tags.map((tag) => document.createElement(tag));
    const [element, time, said, body, partial] = made;
    element.className = "line";
    time.className = "time";
    time.type = "button";
    time.disabled = true;
    said.className = "said";
    body.className = "body";
    partial.className = "partial";
    partial.ariaHidden = "true";
    said.append(body, partial);
    element.append(time, said);
    this.box.querySelector(".empty")?.remove();
    const line = { element, time, body, partial, text: "", segment: null };
    this.keepEnd(() => (before ? before.element.after(element) : this.box.append(element)));
    this.lines.splice(before ? this.lines.indexOf(before) + 1 : this.lines.length, 0, line);
    return line;
  }

  /** More words of a line; they stay. */
  add(line, text) {
    this.keepEnd(() => {
      line.text += text;
      line.body.append(line.body.firstChild ? text : text.trimStart());
      line.partial.textContent = "";
    });
    this.say(text);
  }

  /** What the words after those may be. */
  expect(line, text) {
    this.keepEnd(() => (line.partial.textContent = text));
  }

  say(text) {
    const element = document.createElement("p");
    element.textContent = text.trim();
    this.log.append(element);
    while (this.log.childElementCount > 50) this.log.firstChild.remove();
  }

  remove(line) {
    line.element.remove();
    this.lines = this.lines.filter((each) => each !== line);
  }

  /** A line's segment: its times, words and speaker. */
  time(line, segment) {
    line.segment = segment;
    line.partial.textContent = "";
    line.time.disabled = false;
    line.time.textContent = shortClock(segment.start);
    line.time.ariaLabel = `Play from ${shortClock(segment.start)}`;
    line.time.dataset.start = segment.start;
    const parts = [];
    let place = 0;
    for (const word of segment.words) {
      const at = segment.text.indexOf(word.word, place);
      parts.push(segment.text.slice(place, Math.max(at, place)), this.word(word));
      if (at >= 0) place = at + word.word.length;
    }
    parts.push(segment.text.slice(place));
    if (typeof parts[0] === "string") parts[0] = parts[0].trimStart();
    line.body.replaceChildren(...parts);
    this.nameSpeaker(line, segment.speaker);
    if (this.words.length && !this.reachable) this.reach(this.words[0].element);
  }

  word({ word, start, end, probability }) {
    const element = document.createElement("span");
    element.className = "word";
    element.textContent = word;
    element.dataset.start = start;
    const unsure = UNSURE.findIndex((bound) => probability < bound);
    if (unsure >= 0) {
      element.classList.add(`unsure-${unsure + 1}`);
      element.title = `${Math.round(100 * probability)} % sure`;
    }
    const isInOrder = !this.words.length || this.words.at(-1).start <= start;
    this.words.push({ element, start, end });
    if (!isInOrder) this.words.sort((one, other) => one.start - other.start);
    return element;
  }

  nameSpeaker(line, speaker) {
    line.element.querySelector(".speaker")?.remove();
    if (!speaker) return;
    if (!this.speakers.has(speaker)) this.speakers.set(speaker, this.speakers.size);
    const colour = this.speakers.get(speaker) % SPEAKER_COLOURS;
    line.element.dataset.speaker = colour;
    const before = this.lines[this.lines.indexOf(line) - 1]?.segment?.speaker;
    if (before === speaker) return;
    const name = document.createElement("span");
    name.className = "speaker";
    name.textContent = `Speaker ${speaker}`;
    line.body.before(name);
  }

  colourOf(speaker) {
    return this.speakers.has(speaker) ? this.speakers.get(speaker) % SPEAKER_COLOURS : "";
  }

  /** All of a transcript at once. */
  show(segments) {
    this.clear();
    for (const segment of segments) this.time(this.line(), segment);
    this.box.scrollTop = 0;
  }

  /** Light up the word that is spoken at a time. */
  light(time) {
    const seconds = time + SEEK_SLIP;
    let [low, high] = [0, this.words.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[middle].start <= seconds) low = middle + 1;
      else high = middle;
    }
    const found = this.words[low - 1];
    const spoken = found && seconds < Math.max(found.end, found.start + 0.1) ? found.element : null;
    if (spoken === this.current) return;
    this.current?.classList.remove("spoken");
    spoken?.classList.add("spoken");
    this.current = spoken;
    if (spoken) this.keepInSight(spoken);
  }

  keepInSight(element) {
    const [box, word] = [this.box.getBoundingClientRect(), element.getBoundingClientRect()];
    if (word.top < box.top + 8) this.box.scrollTop -= box.top + 8 - word.top;
    if (word.bottom > box.bottom - 24) this.box.scrollTop += word.bottom - box.bottom + 96;
  }

  // Whoever reads at the end stays there; whoever has scrolled back is left alone.
  keepEnd(change) {
    const { box } = this;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
    change();
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }

  choose(element) {
    if (element?.dataset.start === undefined) return;
    if (element.classList.contains("word")) this.reach(element);
    this.seek(Number(element.dataset.start));
  }

  // One word can be reached by Tab; arrows go from word to word, and Enter plays from there.
  reach(element) {
    if (this.reachable) {
      this.reachable.removeAttribute("tabindex");
      this.reachable.removeAttribute("role");
    }
    element.tabIndex = 0;
    element.role = "button";
    this.reachable = element;
  }

  key(event) {
    if (!event.target.classList.contains("word")) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(event.target);
    } else if (step) {
      event.preventDefault();
      const place = this.words.findIndex(({ element }) => element === event.target);
      const next = this.words[place + step]?.element;
      if (next) {
        this.reach(next);
        next.focus();
      }
    }
  }
}

/** 75.2 → "1:15", 3675 → "1:01:15". */
export function shortClock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
