// Sends a recording, and tells the text's events while the server transcribes.

import { Refused, address, keyHeaders, refusal } from "./api.js";

// The status of failures that come after the answer has begun, by OpenAI's code.
const STATUSES = { bad_audio: 400, too_large: 413, fetch_failed: 502, fetch_timeout: 504 };

/**
 * Transcribe a recording.
 *
 * source: {file} or {url}; options: {language, prompt, translate, diarize, words}.
 * on.sent(share) while the file goes up; on.event(event) for each event of the server.
 * Resolves at the end of the text; rejects with Refused, or with an AbortError.
 */
export async function transcribe(source, options, on, signal) {
  const granularities = options.words ? ["segment", "word"] : ["segment"];
  const form = filled(source, {
    model: "whisper-1",
    response_format: "verbose_json",
    stream: "true",
    language: options.language,
    prompt: options.prompt,
    diarize: options.diarize ? "true" : "",
    "timestamp_granularities[]": granularities,
  });
  let failure = null;
  const reader = new EventReader((event) => {
    if (event.type === "error") failure = streamFailure(event.error ?? {});
    else if (event.type !== "heartbeat") on.event(event);
  });
  const route = options.translate ? "translations" : "transcriptions";
  const progress = { sent: on.sent, text: (text) => reader.read(text) };
  await send(`v1/audio/${route}`, form, progress, signal);
  if (failure) throw failure;
  if (!reader.isDone) throw new Refused(0);
}

/** Make a job of a recording; returns what the server tells of it. */
export async function submit(source, options, sent, signal) {
  const form = filled(source, {
    language: options.language,
    prompt: options.prompt,
    task: options.translate ? "translate" : "",
    diarize: options.diarize ? "true" : "",
    timestamps: options.words ? "word" : "segment",
    response_format: "verbose_json",
  });
  return JSON.parse(await send("jobs", form, { sent, text: () => {} }, signal));
}

// The file is the last field: the server begins with it while it arrives.
function filled(source, fields) {
  const form = new FormData();
  for (const [name, values] of Object.entries(fields)) {
    for (const value of [values].flat()) if (value) form.append(name, value);
  }
  if (source.file) form.append("file", source.file, source.file.name);
  else form.append("url", source.url);
  return form;
}

// fetch tells no progress of an upload, so this is XMLHttpRequest.
function send(path, form, on, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const isGood = () => request.status >= 200 && request.status < 300;
    request.open("POST", address(path));
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => on.sent(total ? loaded / total : 0);
    request.upload.onload = () => on.sent(1);
    request.onprogress = () => isGood() && on.text(request.responseText);
    request.onload = () => {
      const { status, responseText } = request;
      if (isGood()) {
        on.text(responseText);
        resolve(responseText);
      } else {
        const headers = { get: (name) => request.getResponseHeader(name) };
        reject(refusal(status, responseText, headers));
      }
    };
    request.onerror = () => reject(new Refused(0));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function streamFailure({ code, message }) {
  return new Refused(STATUSES[code] ?? 500, message ?? "");
}

/** Reads Server-Sent Events out of a text that grows. */
export class EventReader {
  constructor(tell) {
    this.tell = tell;
    this.place = 0;
    this.isDone = false;
  }

  read(text) {
    for (;;) {
      const end = text.indexOf("\n\n", this.place);
      if (end < 0) return;
      const frame = text.slice(this.place, end);
      this.place = end + 2;
      const data = frame.split("\n").filter((line) => line.startsWith("data:"));
      if (!data.length) continue;
      const event = JSON.parse(data.map((line) => line.slice(5)).join("\n"));
      this.isDone ||= event.type === "transcript.text.done" || event.type === "error";
      this.tell(event);
    }
  }
}
