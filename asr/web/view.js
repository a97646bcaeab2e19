// The card with the transcript: what is going on, facts, downloads, and what went wrong.

import { TYPES, written } from "./formats.js";
import { Player } from "./player.js";
import { Transcript, shortClock } from "./transcript.js";

export const element = (id) => document.getElementById(id);

export class View {
  constructor() {
    this.player = new Player(
      {
        audio: element("audio"),
        play: element("play"),
        position: element("position"),
        clock: element("clock"),
        wave: element("wave"),
        lanes: element("lanes"),
        headLine: element("head-line"),
        timeline: element("timeline"),
      },
      (seconds) => this.transcript?.light(seconds),
    );
    this.transcript = new Transcript(element("transcript"), element("log"), (seconds) =>
      this.player.playFrom(seconds),
    );
    this.buttons = [...document.querySelectorAll(".downloads button")];
    for (const button of this.buttons) button.addEventListener("click", () => this.give(button));
    element("shade").addEventListener("change", ({ target }) =>
      element("transcript").classList.toggle("plain", !target.checked),
    );
  }

  /** Begin with a new transcript. */
  begin(title, status) {
    this.result = null;
    this.player.clear();
    this.transcript.clear();
    this.transcript.note("The words will appear here.");
    element("facts").replaceChildren();
    element("result-title").textContent = title;
    element("result").hidden = false;
    element("again").hidden = true;
    for (const button of this.buttons) button.disabled = true;
    this.status(status);
    this.progress(null);
    this.forgive();
    const behaviour = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    element("result").scrollIntoView({ block: "nearest", behavior: behaviour });
  }

  status(text) {
    if (element("status").textContent !== text) element("status").textContent = text;
  }

  /** A share of 1; null: it is not known; undefined: nothing is going on. */
  progress(share) {
    const bar = element("bar");
    bar.classList.toggle("unknown", share === null);
    bar.classList.toggle("idle", share === undefined);
    element("bar-done").style.width = `${100 * (share ?? 0)}%`;
  }

  /** The whole transcript: {name, task, language, duration, text, segments, coverage, warnings}. */
  finish(result, status) {
    this.result = result;
    this.progress(undefined);
    this.status(status);
    if (!result.text.trim()) this.transcript.note("Nobody speaks in this recording.");
    for (const button of this.buttons) button.disabled = false;
    this.mark(result);
    this.tell(result);
  }

  /** It ended without a whole text; what there is of it stays. */
  fail() {
    this.status("It did not work");
    if (!this.transcript.lines.length) this.transcript.note("There is no text.");
  }

  mark({ segments, coverage, duration }) {
    const colourOf = (speaker) => this.transcript.colourOf(speaker);
    this.player.mark(segments, coverage?.gaps ?? [], duration, colourOf);
  }

  tell({ language, duration, segments, text, coverage, warnings }) {
    const facts = [];
    if (duration) facts.push(`${seconds(duration)} of audio`);
    if (language) facts.push(capital(language));
    const words = text.split(/\s+/).filter(Boolean).length;
    if (words) facts.push(words === 1 ? "1 word" : `${words} words`);
    const speakers = new Set(segments.map(({ speaker }) => speaker).filter(Boolean)).size;
    if (speakers) facts.push(speakers === 1 ? "1 speaker" : `${speakers} speakers`);
    const gaps = coverage?.gaps ?? [];
    if (coverage?.speech && !gaps.length) facts.push("all speech has text");
    const items = [...facts, ...(warnings ?? [])].map((fact) => item(fact));
    if (gaps.length) items.push(this.gapItem(gaps));
    element("facts").replaceChildren(...items);
  }

  // Marks on the timeline alone would tell nothing to whoever cannot see or point at them.
  gapItem(gaps) {
    const found = item("Speech without text at");
    found.className = "gaps";
    for (const gap of gaps.slice(0, 20)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = shortClock(gap.start);
      button.title = `${seconds(gap.end - gap.start)}: ${gap.reason}`;
      button.addEventListener("click", () => this.player.playFrom(gap.start));
      found.append(" ", button);
    }
    if (gaps.length > 20) found.append(` and ${gaps.length - 20} more`);
    return found;
  }

  /** Say what went wrong, what to do, and offer to do it again. */
  complain(title, detail, retry) {
    const [box, strong] = [element("alert"), document.createElement("strong")];
    strong.textContent = title;
    box.replaceChildren(strong, ` ${detail}`);
    if (retry) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Try again";
      button.addEventListener("click", () => {
        this.forgive();
        retry();
      });
      box.append(" ", button);
    }
  }

  forgive() {
    element("alert").replaceChildren();
  }

  async give(button) {
    if (button.id === "copy") {
      await copied(this.result.text);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
      return;
    }
    const { format } = button.dataset;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([written(this.result, format)], { type: TYPES[format] }));
    link.download = `${this.result.name.replace(/\.[^.]{1,5}$/, "")}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

// Pages over plain http have no clipboard, except for what is selected.
async function copied(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function item(text) {
  const found = document.createElement("li");
  found.textContent = text;
  return found;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** 4.25 → "4.3 s", 75 → "1:15". */
export function seconds(number) {
  return number < 60 ? `${Number(number.toFixed(1))} s` : shortClock(number);
}
