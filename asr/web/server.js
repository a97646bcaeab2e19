// What the visitor sees of the server: model, device, queue, and what it can do.

import { apiKey, ask } from "./api.js";
import { capital, element } from "./view.js";

const PAUSE_MS = 10_000; // between two looks at the server, while the page is visible
const NO_GPU = "CUDA is not available"; // what the server calls a machine without one

export class Server {
  /** `known(server)` is called once, when it is known what the server can do. */
  constructor(known) {
    this.known = known;
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    try {
      await this.learn();
      const health = await (await ask("hc?verbose=1")).json();
      this.tell(health, await this.waiting());
    } catch (error) {
      const text = error.status === 0 ? "The server does not answer" : "The server cannot work";
      this.show("bad", text);
    }
    this.timer = setTimeout(() => this.look(), PAUSE_MS);
  }

  async learn() {
    if (this.settings) return;
    const settings = await (await ask("page/server.json")).json();
    const { engine } = await (await ask("hc?verbose=1")).json();
    this.engine = engine;
    this.settings = settings;
    this.known(this);
  }

  tell({ engine }, waiting) {
    const model = engine.model_id.split("/").filter(Boolean).pop();
    const device = engine.device_name === NO_GPU ? "CPU" : engine.device_name;
    const queue = waiting >= 1 ? `${Math.round(waiting)} s of audio wait` : "";
    const parts = ["Ready", model, device, queue].filter(Boolean);
    this.show(waiting >= 30 ? "busy" : "good", parts.join(" · "));
  }

  // The seconds of audio in the server's queue; null where they need a key that is not there.
  async waiting() {
    if (this.settings.needs_key && !apiKey()) return null;
    try {
      const text = await (await ask("metrics")).text();
      return Number(/^asr_queue_audio_seconds (\S+)/m.exec(text)?.[1] ?? 0);
    } catch {
      return null;
    }
  }

  show(state, text) {
    element("state").dataset.state = state;
    if (element("state-text").textContent !== text) element("state-text").textContent = text;
  }

  /** The languages that a visitor may choose: [code, name], by name. */
  get languages() {
    const found = Object.entries(this.engine.languages).map(([code, name]) => [code, capital(name)]);
    return found.sort(([, one], [, other]) => one.localeCompare(other));
  }
}
