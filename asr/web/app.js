// The page: what the visitor chooses becomes a run, one at a time.

import { Refused, address, apiKey, setApiKey } from "./api.js";
import { Jobs, resultOf } from "./jobs.js";
import { RecordingRun } from "./recording.js";
import { Server } from "./server.js";
import { SpeechRun } from "./speech.js";
import { submit } from "./upload.js";
import { View, capital, element, seconds } from "./view.js";

const view = new View();
const server = new Server(greet);
const jobs = new Jobs(openJob, (error) => explain(error));
let run = null; // the one that is under way

element("curl").textContent =
  `curl -F file=@talk.mp3 -F response_format=srt ${address("v1/audio/transcriptions")}`;

function greet({ settings, engine, languages }) {
  element("key-button").hidden = !settings.needs_key;
  if (settings.needs_key && !apiKey()) showKey(true);
  element("demo-note").hidden = engine.model_id !== "demo";
  element("translate-field").hidden = !engine.can_translate;
  element("diarize-field").hidden = !settings.has_diarizer;
  element("prompt-field").hidden = !engine.can_prompt;
  const options = languages.map(([code, name]) => new Option(name, code));
  element("language").append(...options);
  element("language").closest("label").hidden = !options.length || settings.forced_language !== null;
  for (const sample of settings.samples) element("samples").append(sampleButton(sample));
  element("samples").hidden = !settings.samples.length;
}

function sampleButton({ file, language, seconds: long }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "chip";
  const name = server.engine.languages[language] ?? language;
  button.textContent = `${capital(name)}, ${seconds(long)}`;
  button.addEventListener("click", async () => {
    const answer = await attempt(() => fetch(address(`page/${file}`)));
    if (answer) start({ file: new File([await answer.blob()], file, { type: "audio/flac" }) });
  });
  return button;
}

function options() {
  const isOn = (id) => element(id).checked && !element(`${id}-field`).hidden;
  return {
    language: element("language").value,
    prompt: element("prompt").value.trim(),
    translate: isOn("translate"),
    diarize: isOn("diarize"),
    words: server.settings?.has_word_times ?? true,
    live: server.settings?.has_live ?? true,
    names: server.engine?.languages,
  };
}

/** Transcribe a recording, at once or as a job. */
function start(source) {
  if (element("as-job").checked) background(source);
  else perform(new RecordingRun(view, source, options()), () => start(source));
}

function speak() {
  if (run instanceof SpeechRun) run.stop();
  else perform(new SpeechRun(view, options()), speak);
}

async function perform(next, again) {
  run?.stop();
  run = next;
  showRun();
  try {
    await next.go();
  } catch (error) {
    if (run === next) explain(error, again);
  }
  if (run !== next) return;
  run = null;
  showRun();
  if (next.wantsText) start({ file: next.recording });
  else if (next.recording) offerWhole(next.recording);
}

async function background(source) {
  const name = source.file?.name ?? source.url;
  view.forgive();
  const job = await attempt(() => submit(source, options(), (share) => told(share)));
  element("job-state").textContent = "";
  if (job) jobs.add(job.id, name);

  function told(share) {
    element("job-state").textContent = `Sending ${name}: ${Math.round(100 * share)} %`;
  }
}

function openJob(name, answer) {
  run?.stop();
  run = null;
  view.begin(name, "");
  const result = resultOf(name, answer);
  view.transcript.show(result.segments);
  view.finish(result, "The result of a job");
}

// As a whole it has all options, and the model knows what follows each word.
function offerWhole(recording) {
  const button = element("again");
  button.hidden = false;
  button.onclick = () => start({ file: recording });
}

function showRun() {
  const isSpeech = run instanceof SpeechRun;
  element("mic").setAttribute("aria-pressed", String(isSpeech));
  element("mic-name").textContent = isSpeech ? "Stop" : "Speak";
  element("mic-label").textContent = isSpeech ? "Stop" : "Speak";
  element("cancel").hidden = !run;
  element("cancel").textContent = isSpeech ? "Stop" : "Cancel";
  element("cancel").classList.toggle("stop", isSpeech);
  element("cancel").classList.toggle("quiet", !isSpeech);
}

async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    explain(error instanceof TypeError ? new Refused(0) : error);
    return null;
  }
}

/** Say what went wrong, and what to do. */
function explain(error, again) {
  view.progress(undefined);
  if (error.name === "AbortError") {
    view.status("Cancelled");
    return;
  }
  view.fail();
  let detail = capital(error.detail ?? error.message);
  if (error.status === 0) detail ||= "Is the server running, and the network there?";
  if (error.status === 401) {
    detail = "Enter the key above, then try again.";
    showKey(true);
  }
  if (error.retryAfter) detail += ` It may have room in ${Math.ceil(error.retryAfter)} s.`;
  view.complain(error.message, detail, again);
}

function showKey(isShown) {
  element("key-form").hidden = !isShown;
  element("key-button").setAttribute("aria-expanded", String(isShown));
  element("key").value = apiKey();
  if (isShown) element("key").focus();
}

element("key-button").addEventListener("click", () => showKey(element("key-form").hidden));
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setApiKey(element("key").value.trim());
  showKey(false);
  view.forgive();
  server.look();
  jobs.look();
});
element("key-forget").addEventListener("click", () => {
  setApiKey("");
  showKey(true);
});

element("mic").addEventListener("click", speak);
element("cancel").addEventListener("click", () => run?.stop());
element("file").addEventListener("change", ({ target }) => {
  take([...target.files]);
  target.value = "";
});
element("url-form").addEventListener("submit", (event) => {
  event.preventDefault();
  start({ url: element("url").value.trim() });
});

// Several recordings are jobs: the page shows one transcript at a time.
function take(files) {
  if (files.length > 1) for (const file of files) background({ file });
  else if (files.length) start({ file: files[0] });
}

const drop = element("drop");
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  take([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take([...event.clipboardData.files]);
});
