// The jobs of this browser: their progress, their results, their end.

import { ask } from "./api.js";
import { capital, element } from "./view.js";

const KEPT = "asr-jobs"; // of localStorage: [{id, name}], the newest first
const MOST = 50; // jobs that the page remembers
const PAUSE_MS = 1500; // between two looks at jobs that have not ended
const ENDED = new Set(["completed", "failed", "cancelled", "expired"]);

export class Jobs {
  /** `open(name, answer)` is called with the verbose_json of a job that was chosen. */
  constructor(open, fail) {
    this.open = open;
    this.fail = fail;
    this.known = stored();
    this.rows = new Map();
    document.addEventListener("visibilitychange", () => this.look());
    this.show();
    this.look();
  }

  add(id, name) {
    this.known = [{ id, name }, ...this.known.filter((job) => job.id !== id)].slice(0, MOST);
    this.keep();
    this.show();
    this.look();
  }

  forget(id) {
    this.known = this.known.filter((job) => job.id !== id);
    this.keep();
    this.show();
  }

  keep() {
    localStorage.setItem(KEPT, JSON.stringify(this.known));
  }

  show() {
    element("jobs").hidden = !this.known.length;
    for (const job of this.known) if (!this.rows.has(job.id)) this.rows.set(job.id, this.row(job));
    element("job-list").replaceChildren(...this.known.map(({ id }) => this.rows.get(id).element));
  }

  row(job) {
    const row = { element: document.createElement("li"), state: null };
    const make = (tag, kind, text) => {
      const made = document.createElement(tag);
      made.className = kind;
      made.textContent = text;
      return made;
    };
    const button = (text, act) => {
      const made = make("button", "quiet", text);
      made.type = "button";
      made.ariaLabel = `${text}: ${job.name}`;
      made.addEventListener("click", () => this.attempt(act));
      return made;
    };
    row.name = make("strong", "name", job.name);
    row.told = make("span", "told", "…");
    row.bar = document.createElement("progress");
    row.bar.ariaLabel = `Progress of ${job.name}`;
    row.bar.max = 1;
    row.openButton = button("Open", () => this.result(job));
    row.cancelButton = button("Cancel", () => this.cancel(job));
    row.forgetButton = button("Remove", () => this.forget(job.id));
    row.element.append(row.name, row.told, row.bar, row.openButton, row.cancelButton, row.forgetButton);
    this.tell(row, { state: "queued", progress: { done: 0, total: 0 } });
    row.state = null;
    return row;
  }

  tell(row, { state, progress, position, error, text }) {
    const isOver = ENDED.has(state);
    row.state = state;
    row.element.dataset.state = state;
    row.openButton.hidden = state !== "completed";
    row.cancelButton.hidden = isOver;
    row.forgetButton.hidden = !isOver;
    row.bar.hidden = isOver;
    if (state === "running" && progress.total) row.bar.value = progress.done / progress.total;
    else row.bar.removeAttribute("value");
    let told = capital(state);
    if (state === "queued" && position) told += `, after ${Math.round(position)} s of audio`;
    if (state === "running" && progress.total) {
      told += `: ${Math.round(progress.done)} s of ${Math.round(progress.total)} s`;
    }
    if (error?.message) told += `: ${error.message}`;
    if (state === "completed" && text) told = text.trim().slice(0, 120);
    row.told.textContent = told;
  }

  async look() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    const open = this.known.filter(({ id }) => !ENDED.has(this.rows.get(id).state));
    await Promise.all(open.map((job) => this.lookAt(job)));
    if (open.length) this.timer = setTimeout(() => this.look(), PAUSE_MS);
  }

  async lookAt({ id }) {
    try {
      const answer = await ask(`jobs/${encodeURIComponent(id)}`);
      this.tell(this.rows.get(id), await answer.json());
    } catch (error) {
      if (error.status === 404) this.forget(id); // it was kept for as long as the server keeps jobs
    }
  }

  async cancel({ id }) {
    const answer = await ask(`jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
    this.tell(this.rows.get(id), await answer.json());
  }

  async result({ id, name }) {
    const answer = await ask(`jobs/${encodeURIComponent(id)}/result?format=verbose_json`);
    this.open(name, await answer.json());
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      this.fail(error);
    }
  }
}

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(found) ? found.filter(({ id, name }) => id && name) : [];
  } catch {
    return [];
  }
}

/** The verbose_json of a job as the page's own result: words belong to their segments. */
export function resultOf(name, answer) {
  const words = [...(answer.words ?? [])];
  const segments = (answer.segments ?? []).map(({ start, end, text, speaker }) => {
    const own = [];
    let left = text.replace(/\s+/g, "").length;
    while (left > 0 && words.length) {
      const word = words.shift();
      left -= word.word.replace(/\s+/g, "").length;
      own.push(word);
    }
    return { start, end, text, speaker: letter(speaker), words: own };
  });
  const { task, language, duration, text, coverage, warnings } = answer;
  return { name, task, language, duration, text, segments, coverage, warnings };
}

// "SPEAKER_00" of the server's JSON as the page names speakers: "A".
function letter(speaker) {
  const number = Number(/^SPEAKER_(\d+)$/.exec(speaker ?? "")?.[1] ?? -1);
  return number >= 0 && number < 26 ? String.fromCharCode(65 + number) : speaker;
}
