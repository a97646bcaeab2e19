// Transcribes a recording: sends it, and shows its text while it comes.

import { transcribe } from "./upload.js";
import { seconds } from "./view.js";

const letters = (text) => text.replace(/\s+/g, "");

/** One recording on its way to be text. */
export class RecordingRun {
  constructor(view, source, options) {
    this.view = view;
    this.source = source; // {file} or {url}
    this.options = options;
    this.segments = [];
    this.untimed = []; // lines whose segment has not come
    this.ends = new AbortController();
  }

  get name() {
    if (this.source.file) return this.source.file.name;
    if (this.source.url.startsWith("data:")) return "recording";
    const last = this.source.url.split(/[?#]/)[0].split("/").filter(Boolean).pop() ?? "recording";
    try {
      return decodeURIComponent(last);
    } catch {
      return last; // a % that is just one
    }
  }

  /** Resolves when the text is complete; rejects with what went wrong. */
  async go() {
    const { view, source } = this;
    this.began = performance.now();
    view.begin(this.name, source.file ? "Sending …" : "The server fetches it …");
    if (source.file) view.player.load(source.file);
    const on = { sent: (share) => this.sent(share), event: (event) => this.event(event) };
    await transcribe(source, this.options, on, this.ends.signal);
  }

  stop() {
    this.ends.abort();
  }

  sent(share) {
    if (!this.source.file) return;
    if (share < 1) {
      this.view.status(`Sending: ${Math.round(100 * share)} %`);
      this.view.progress(share);
    } else {
      this.view.status("Transcribing …");
      this.view.progress(null);
    }
  }

  event(event) {
    if (event.type === "transcript.text.delta") this.delta(event.delta);
    else if (event.type === "transcript.text.segment") this.segment(event);
    else if (event.type === "transcript.text.done") this.done(event);
  }

  // The server writes a delta for each segment, and its times after it.
  delta(text) {
    if (!text.trim()) return;
    const line = this.view.transcript.line();
    this.view.transcript.add(line, text);
    this.untimed.push(line);
    if (!this.segments.length) this.view.status("Transcribing …");
  }

  segment({ start, end, text, speaker, words }) {
    const segment = { start, end, text, speaker: speaker || null, words: words ?? [] };
    this.segments.push(segment);
    if (!text.trim()) return;
    if (this.untimed.length && letters(this.untimed[0].text) === letters(text)) {
      this.view.transcript.time(this.untimed.shift(), segment);
    } else {
      this.isMixed = true; // Speakers divide the text elsewhere: all is shown anew at the end.
    }
    const whole = this.view.player.duration;
    this.view.mark({ segments: this.segments, duration: whole });
    if (whole) {
      this.view.status(`Transcribing: ${seconds(end)} of ${seconds(whole)}`);
      this.view.progress(Math.min(1, end / whole));
    }
  }

  done({ text, language, duration, coverage, warnings }) {
    if (this.isMixed || this.untimed.length) this.view.transcript.show(this.segments);
    const spent = (performance.now() - this.began) / 1000;
    const task = this.options.translate ? "translate" : "transcribe";
    const { name, segments } = this;
    const result = { name, task, language, duration, text, segments, coverage, warnings };
    const pace = duration / spent;
    const times = pace >= 2 ? ` · ${Math.round(pace)} × real time` : "";
    this.view.finish(result, `Done in ${seconds(spent)}${times}`);
  }
}
