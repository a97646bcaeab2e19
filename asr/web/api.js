// Speaks to the server: the API key, requests, and what a failure means for the visitor.

const KEY = "asr-api-key"; // of sessionStorage: this tab alone has it
const LOST = "The connection to the server was lost.";

// What happened and what to do about it, by status; the server's own words follow.
const SENTENCES = {
  400: "The server cannot use this.",
  401: "This server wants an API key, and got none or a wrong one.",
  403: "The server does not allow this.",
  404: "There is nothing at this address.",
  408: "The upload was too slow.",
  409: "This has no result.",
  413: "This is larger or longer than the server allows.",
  415: "The server does not know this format.",
  421: "The server does not answer for this host name.",
  422: "The server does not understand the request.",
  429: "The server has too much to do at the moment.",
  500: "The server failed on this recording.",
  502: "The recording's own server did not give it out.",
  503: "The server cannot work at the moment.",
  504: "The recording's own server was too slow.",
  507: "The server's disk is full.",
};

/** A failure: `title` says what happened, `detail` is the server's explanation. */
export class Refused extends Error {
  constructor(status, detail = "", retryAfter = null) {
    super(SENTENCES[status] ?? (status ? `The server answered ${status}.` : LOST));
    this.status = status; // 0: there was no answer
    this.detail = detail;
    this.retryAfter = retryAfter; // seconds
  }
}

export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function setApiKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export function keyHeaders() {
  return apiKey() ? { Authorization: `Bearer ${apiKey()}` } : {};
}

/** An address of this server, also where a gateway serves it below a path. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** Ask the server; anything but 2xx is thrown as Refused. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path), {
      ...options,
      headers: { ...keyHeaders(), ...options.headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0);
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text(), answer.headers);
  return answer;
}

/** What an answer with an error says, in the shape of any of the server's routes. */
export function refusal(status, text, headers) {
  return new Refused(status, message(text), Number(headers?.get("Retry-After")) || null);
}

function message(text) {
  try {
    const { error, detail } = JSON.parse(text);
    const found = error?.message ?? error ?? detail;
    return typeof found === "string" ? found : "";
  } catch {
    return "";
  }
}

/** A short-lived secret in the place of the API key, which must not be in an address or log. */
export async function clientSecret() {
  if (!apiKey()) return "";
  const answer = await ask("v1/realtime/client_secrets", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ session: { type: "transcription" } }),
  });
  return (await answer.json()).value;
}
