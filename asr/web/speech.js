// Speak and read: the microphone, a live session, and the words that grow.

import { LiveSession } from "./live.js";
import { Microphone } from "./microphone.js";
import { shortClock } from "./transcript.js";

const MOST_SECONDS = 3600; // The page keeps so much sound, about 170 MB, and stops there.

/** One time that somebody presses Speak. */
export class SpeechRun {
  constructor(view, options) {
    this.view = view;
    this.options = options;
    this.items = new Map(); // utterance → {line, segment}
  }

  /** Resolves when the speaker has stopped and all is text; rejects with what went wrong. */
  async go() {
    this.view.begin("Your microphone", "The browser asks for the microphone …");
    this.view.transcript.note("Speak: the words will appear here.");
    this.microphone = await Microphone.open({
      sound: (samples, level) => this.sound(samples, level),
      ended: () => this.stop(),
    });
    if (this.isStopped) {
      await this.microphone.close();
      return;
    }
    try {
      if (this.options.live) await this.follow();
      else await this.record();
    } finally {
      await this.microphone.stop();
      this.finish();
    }
  }

  /** Where there are no live sessions, the recording becomes text when it is complete. */
  async record() {
    this.view.transcript.note("Speak: the text comes when you have stopped.");
    this.view.progress(undefined);
    await new Promise((resolve) => (this.ends = { resolve }));
    this.wantsText = true;
  }

  /** Words come as they are spoken. */
  async follow() {
    this.view.status("Connecting …");
    const ended = new Promise((resolve, reject) => (this.ends = { resolve, reject }));
    this.session = new LiveSession(
      { ...this.options, rate: this.microphone.rate },
      {
        started: () => this.begun(),
        delta: (item, text) => this.delta(item, text),
        hypothesis: (item, text) => this.expect(item, text),
        segment: (item, event) => (this.item(item).parts ??= []).push(event),
        completed: (item, event) => this.complete(item, event),
        failed: (item, message) => this.view.complain("A sentence was not transcribed.", message),
        slow: (isSlow) => (this.isSlow = isSlow),
        ended: (error) => (error ? this.ends.reject(error) : this.ends.resolve()),
      },
    );
    for (const samples of this.microphone.chunks) this.session.send(samples); // what came before
    await this.session.connect();
    await ended;
  }

  async stop() {
    if (this.isStopped) return;
    this.isStopped = true;
    if (!this.ends) return; // the browser has not given the microphone yet
    this.view.status("The last words …");
    this.view.progress(null);
    await this.microphone.stop();
    if (this.session) this.session.stop();
    else this.ends.resolve();
  }

  sound(samples, level) {
    this.session?.send(samples);
    if (this.isStopped) return;
    this.view.player.hear(level);
    this.tick();
    if (this.microphone?.seconds > MOST_SECONDS) this.stop();
  }

  begun() {
    this.view.progress(undefined);
    this.tick();
  }

  tick() {
    if (this.options.live && !this.session?.isReady) return;
    const slow = this.isSlow ? " · the network is too slow for the sound" : "";
    this.view.player.clock.textContent = shortClock(this.microphone?.seconds);
    this.view.status(`Listening · ${shortClock(this.microphone?.seconds)}${slow}`);
  }

  item(id) {
    if (!this.items.has(id)) this.items.set(id, { line: this.view.transcript.line() });
    return this.items.get(id);
  }

  delta(id, text) {
    this.view.transcript.add(this.item(id).line, text);
  }

  expect(id, text) {
    if (text.trim() || this.items.has(id)) this.view.transcript.expect(this.item(id).line, text);
  }

  complete(id, event) {
    const item = this.item(id);
    const text = event.transcript ?? "";
    if (!text.trim()) {
      this.view.transcript.remove(item.line);
      this.items.delete(id);
      return;
    }
    const words = event.words ?? [];
    const start = event.start ?? words[0]?.start ?? 0;
    const end = event.end ?? words.at(-1)?.end ?? this.microphone.seconds;
    this.language = event.language ?? this.language;
    item.segments = divided({ start, end, text, words }, item.parts ?? []);
    let { line } = item;
    item.segments.forEach((segment, i) => {
      if (i) line = this.view.transcript.line(line);
      this.view.transcript.time(line, segment);
    });
    this.view.transcript.box.scrollTop = this.view.transcript.box.scrollHeight;
  }

  finish() {
    const { microphone } = this;
    const name = `speech-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.wav`;
    const segments = [...this.items.values()].flatMap((item) => item.segments ?? []);
    const text = segments.map((segment) => segment.text).join("").trim();
    this.recording = microphone.count ? microphone.recording(name) : null;
    if (this.recording) this.view.player.load(this.recording);
    const { language, options } = this;
    const result = { name, task: "transcribe", language, duration: microphone.seconds, text, segments };
    this.view.finish({ ...result, language: options.names?.[language] ?? language }, "Done");
  }
}

/** An utterance as segments of one speaker each, where the server has told its parts. */
function divided({ start, end, text, words }, parts) {
  if (parts.length < 2) {
    const speaker = parts[0]?.speaker || null;
    return [{ start, end, text: ` ${text.trim()}`, speaker, words }];
  }
  let place = 0; // behind the parts so far
  let said = 0; // behind the words so far
  let left = words;
  return parts.map((part) => {
    place += part.text.length;
    let count = 0;
    for (const { word } of left) {
      const at = text.indexOf(word.trim(), said);
      if (at >= place) break;
      said = Math.max(at, said) + word.trim().length;
      count += 1;
    }
    const own = left.slice(0, count);
    left = left.slice(count);
    const { start, end, speaker } = part;
    return { start, end, text: ` ${part.text.trim()}`, speaker: speaker || null, words: own };
  });
}
