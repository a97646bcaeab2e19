// A live session: OpenAI's Realtime transcription over a WebSocket.

import { Refused, address, ask, clientSecret } from "./api.js";

const PROTOCOL = "realtime";
const SLOW_BYTES = 1_000_000; // So much waits to be sent: the network is too slow for the sound.
const LAST_WORDS_MS = 60_000; // After the end of the sound, its text may take so long.
const ITEM = "conversation.item.input_audio_transcription.";
const INCLUDE = ["item.input_audio_transcription.hypothesis", "item.input_audio_transcription.words"];

// The statuses that a page without a WebSocket gets as well.
const REFUSALS = new Set([0, 401, 403, 421, 429, 503]);

// Why a session ends, by the socket's close code.
const CLOSED = {
  1001: ["The server is shutting down.", "Try again in a moment."],
  1008: ["The server refused the session.", ""],
  1009: ["The server got more sound at once than it takes.", ""],
  1013: ["The server has too much to do to keep up with you.", "Try again in a moment."],
};

/** Why a session ended: `message` says what happened, `detail` what to do. */
export class SessionEnded extends Error {
  constructor(title, detail = "") {
    super(title);
    this.detail = detail;
  }
}

const LATE = new SessionEnded(
  "The last words have not come.",
  "The server may be busy: transcribe the recording as a whole.",
);

export class LiveSession {
  /**
   * on.started(), on.delta(item, text), on.hypothesis(item, text), on.segment(item, event),
   * on.completed(item, event), on.failed(item, message), on.slow(isSlow), on.ended(error or null).
   */
  constructor(options, on) {
    this.options = options; // {language, prompt, diarize, rate}
    this.on = on;
    this.waiting = []; // sound that came before the session was there
    this.openItems = new Set(); // utterances whose text is not complete
    this.isReady = false;
    this.isStopping = false;
  }

  async connect() {
    const secret = await clientSecret();
    const url = new URL(address("v1/realtime?intent=transcription"));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const protocols = secret ? [PROTOCOL, `openai-insecure-api-key.${secret}`] : [PROTOCOL];
    this.socket = new WebSocket(url, protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => this.hear(JSON.parse(data));
    this.socket.onclose = (event) => this.close(event);
  }

  /** Send 16-bit samples; the session need not be there yet. */
  send(samples) {
    if (!this.isReady) {
      this.waiting.push(samples);
      return;
    }
    if (this.socket.readyState !== WebSocket.OPEN) return; // it has ended, and says so itself
    this.socket.send(samples); // the server takes binary messages as input_audio_buffer.append
    this.on.slow(this.socket.bufferedAmount > SLOW_BYTES);
  }

  /** No more sound comes: the text of what there was is awaited, then the session ends. */
  stop() {
    this.isStopping = true;
    if (!this.isReady) {
      this.finish();
      return;
    }
    this.tell({ type: "input_audio_buffer.commit", event_id: "last" });
    this.patience = setTimeout(() => this.finish(LATE), LAST_WORDS_MS);
  }

  configure() {
    const { language, prompt, diarize, rate } = this.options;
    const transcription = { model: "whisper-1" };
    if (language) transcription.language = language;
    if (prompt) transcription.prompt = prompt;
    if (diarize) transcription.diarize = true;
    const input = {
      format: { type: "audio/pcm", rate },
      transcription,
      turn_detection: { type: "server_vad" },
    };
    const session = { type: "transcription", audio: { input }, include: INCLUDE };
    this.tell({ type: "session.update", session });
  }

  hear(event) {
    switch (event.type) {
      case "session.created":
        this.configure();
        break;
      case "session.updated":
        this.begin();
        break;
      case "input_audio_buffer.speech_started":
      case "input_audio_buffer.committed":
        this.openItems.add(event.item_id);
        this.isLastCommitted ||= this.isStopping && event.type.endsWith("committed");
        break;
      case `${ITEM}delta`:
        this.openItems.add(event.item_id);
        this.on.delta(event.item_id, event.delta);
        break;
      case `${ITEM}hypothesis`:
        this.on.hypothesis(event.item_id, event.text);
        break;
      case `${ITEM}segment`:
        this.on.segment(event.item_id, event);
        break;
      case `${ITEM}completed`:
        this.on.completed(event.item_id, event);
        this.complete(event.item_id);
        break;
      case `${ITEM}failed`:
        this.on.failed(event.item_id, event.error?.message ?? "");
        this.complete(event.item_id);
        break;
      case "error":
        this.fail(event.error ?? {});
        break;
    }
  }

  begin() {
    if (this.isReady) return;
    this.isReady = true;
    this.on.started();
    for (const samples of this.waiting.splice(0)) this.send(samples);
    if (this.isStopping) this.stop();
  }

  complete(item) {
    this.openItems.delete(item);
    if (this.isLastCommitted && !this.openItems.size) this.finish();
  }

  // The last commit finds nothing where nobody spoke since the last utterance: that is the end.
  fail(error) {
    if (error.event_id === "last") {
      this.isLastCommitted = true;
      if (!this.openItems.size) this.finish();
    } else {
      this.problem = error.message ?? "";
    }
  }

  finish(error = null) {
    clearTimeout(this.patience);
    this.isFinished = true;
    this.socket?.close(1000);
    this.end(error);
  }

  async close({ code, reason }) {
    if (this.hasEnded) return;
    if (this.isFinished || (code === 1000 && this.isStopping)) {
      this.end(null);
    } else if (code === 1000) {
      this.end(new SessionEnded("The session has ended.", this.problem || reason));
    } else if (CLOSED[code]) {
      const [title, detail] = CLOSED[code];
      this.end(new SessionEnded(title, detail || this.problem || reason));
    } else if (this.isReady) {
      this.end(new Refused(0, this.problem));
    } else {
      this.end(await this.refusal());
    }
  }

  // A browser does not tell why a socket was refused: others of the server's answers do.
  async refusal() {
    try {
      await ask("v1/realtime?intent=transcription").catch((error) => {
        if (REFUSALS.has(error.status)) throw error;
      });
      const { has_live_room } = await (await ask("page/server.json")).json();
      if (!has_live_room) {
        return new SessionEnded(
          "All live sessions of this server are in use.",
          "Try again in a moment, or choose a recording.",
        );
      }
    } catch (error) {
      return error;
    }
    return new SessionEnded(
      "The live session cannot be opened.",
      "A gateway in between may not let WebSockets through.",
    );
  }

  end(error) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.on.ended(error);
  }

  tell(event) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }
}
