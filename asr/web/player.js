// Plays the recording, and draws it: its loudness, the text's segments, speech without text.

import { shortClock } from "./transcript.js";

const DRAWN_BYTES = 40 * 2 ** 20; // Larger recordings are not decoded to draw their loudness.
const DRAWN_SECONDS = 1800; // Nor are longer ones: an hour would take a gigabyte of memory.
const BAR = 3; // pixels from bar to bar
const LIVE_LEVELS = 200; // of a microphone so many are drawn: 20 seconds

export class Player {
  /** `moved(seconds)` is called while it plays, and when it was moved. */
  constructor(elements, moved) {
    Object.assign(this, elements); // audio, play, position, clock, wave, lanes, headLine, timeline
    this.moved = moved;
    this.clear();
    const { audio, play, position } = this;
    play.addEventListener("click", () => (audio.paused ? this.start() : audio.pause()));
    position.addEventListener("input", () => this.seek(Number(position.value)));
    for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, () => this.show());
    audio.addEventListener("loadedmetadata", () => this.ready());
    audio.addEventListener("timeupdate", () => this.tick());
    audio.addEventListener("error", () => this.silent());
    new ResizeObserver(() => this.draw()).observe(this.timeline);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.audio.removeAttribute("src");
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.peaks = null;
    this.levels = Array(LIVE_LEVELS).fill(0);
    this.duration = 0;
    this.lanes.replaceChildren();
    this.play.disabled = this.position.disabled = true;
    this.timeline.classList.remove("is-silent");
    this.tick();
    this.draw();
  }

  /** Load a recording that this browser has. */
  load(blob) {
    this.clear();
    this.url = URL.createObjectURL(blob);
    this.audio.src = this.url;
    this.measure(blob, this.url);
  }

  ready() {
    if (Number.isFinite(this.audio.duration)) this.duration = this.audio.duration;
    this.play.disabled = this.position.disabled = false;
    this.tick();
  }

  // The text is complete all the same.
  silent() {
    if (!this.url) return;
    this.play.disabled = this.position.disabled = true;
    this.timeline.classList.add("is-silent");
  }

  get canSeek() {
    return !this.position.disabled;
  }

  seek(seconds) {
    if (!this.canSeek) return;
    this.audio.currentTime = seconds;
    this.tick();
  }

  playFrom(seconds) {
    if (!this.canSeek) return;
    this.seek(seconds);
    this.start();
  }

  start() {
    this.audio.play().catch(() => {}); // it was paused, or another one loaded, before it began
  }

  show() {
    const isPlaying = !this.audio.paused;
    this.play.classList.toggle("plays", isPlaying);
    this.play.ariaLabel = isPlaying ? "Pause" : "Play";
    if (isPlaying) this.follow();
  }

  // `timeupdate` comes four times a second: too seldom for words.
  follow() {
    this.tick();
    if (!this.audio.paused) requestAnimationFrame(() => this.follow());
  }

  tick() {
    const [now, whole] = [this.audio.currentTime || 0, this.duration || 0];
    this.position.max = whole || 1;
    this.position.value = now;
    const said = `${shortClock(now)} of ${shortClock(whole)}`;
    if (this.position.getAttribute("aria-valuetext") !== said) {
      this.position.setAttribute("aria-valuetext", said);
      this.clock.textContent = `${shortClock(now)} / ${shortClock(whole)}`;
    }
    this.headLine.style.left = `${whole ? (100 * now) / whole : 0}%`;
    this.moved(now);
  }

  /** Draw the segments, by speaker, and the gaps: speech without text. */
  mark(segments, gaps, duration, colourOf) {
    if (duration) this.duration = Math.max(duration, this.duration);
    const whole = this.duration;
    const piece = (kind, { start, end }) => {
      const element = document.createElement("i");
      element.className = kind;
      element.style.left = `${(100 * start) / whole}%`;
      element.style.width = `${Math.max(0.3, (100 * (end - start)) / whole)}%`;
      return element;
    };
    const pieces = whole ? segments.map((segment) => piece("piece", segment)) : [];
    pieces.forEach((element, i) => (element.dataset.speaker = colourOf(segments[i].speaker)));
    this.lanes.replaceChildren(...pieces, ...(whole ? gaps.map((gap) => piece("gap", gap)) : []));
    this.tick();
  }

  /** Draw how loud a microphone is, from 0 to 1, at the end of what is drawn. */
  hear(level) {
    this.levels.push(Math.min(1, 5 * level));
    this.levels.splice(0, this.levels.length - LIVE_LEVELS);
    this.peaks = this.levels;
    this.draw();
  }

  async measure(blob, url) {
    if (blob.size > DRAWN_BYTES) return;
    try {
      const context = new OfflineAudioContext(1, 1, 8000); // It decodes to 8,000 samples a second.
      const sound = await context.decodeAudioData(await blob.arrayBuffer());
      if (this.url !== url || sound.duration > DRAWN_SECONDS) return;
      this.peaks = peaksOf(sound.getChannelData(0), 600);
      this.draw();
    } catch {
      // A format that this browser cannot decode has no picture.
    }
  }

  draw() {
    const { wave, timeline, peaks } = this;
    const [width, height] = [timeline.clientWidth, timeline.clientHeight];
    const scale = window.devicePixelRatio || 1;
    [wave.width, wave.height] = [width * scale, height * scale];
    if (!peaks || !width) return;
    const context = wave.getContext("2d");
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(timeline).getPropertyValue("--wave");
    const bars = Math.floor(width / BAR);
    for (let i = 0; i < bars; i++) {
      const peak = peaks[Math.floor((i * peaks.length) / bars)];
      const tall = Math.max(2, peak * (height - 18));
      context.fillRect(i * BAR, (height - 8 - tall) / 2, BAR - 1, tall);
    }
  }
}

/** The loudest sample of each of `count` parts, 1 for the loudest of all. */
export function peaksOf(samples, count) {
  const size = Math.max(1, Math.floor(samples.length / count));
  const peaks = Array.from({ length: Math.min(count, samples.length) }, (_, i) => {
    let most = 0;
    for (let k = i * size; k < (i + 1) * size && k < samples.length; k++) {
      most = Math.max(most, Math.abs(samples[k]));
    }
    return most;
  });
  const loudest = peaks.reduce((one, other) => Math.max(one, other), 1e-6);
  return peaks.map((peak) => peak / loudest);
}
