// OpenAI's client for Node, as it works in browsers, speaks live and tells what it got on stdout.
//
// stdin: {"url", "key", "audio": base64 of 16-bit samples at 24 kHz, "bytes": of one append}
// stdout: a list of events, up to the first whole text
import { json } from "node:stream/consumers";

import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { WebSocket } from "ws";

globalThis.WebSocket = WebSocket; // that of browsers; Node has its own from 22 on

const asked = await json(process.stdin);
const events = [];
const client = new OpenAI({ baseURL: asked.url, apiKey: asked.key });
const live = new OpenAIRealtimeWebSocket(
  {
    model: "whisper-1",
    // The client knows wss: alone, which a gateway in front of the server speaks.
    onURL: (url) => (url.protocol = "ws:"),
  },
  client,
);
const ended = new Promise((resolve, reject) => {
  live.on("error", (error) => reject(error));
  live.on("conversation.item.input_audio_transcription.completed", resolve);
  live.socket.addEventListener("close", ({ code }) => reject(new Error(`closed with ${code}`)));
});
live.on("event", (event) => events.push(event));
live.on("session.created", () => {
  const input = { transcription: { language: "en" } };
  live.send({ type: "session.update", session: { type: "transcription", audio: { input } } });
});
live.on("session.updated", () => {
  const audio = Buffer.from(asked.audio, "base64");
  for (let place = 0; place < audio.length; place += asked.bytes) {
    const part = audio.subarray(place, place + asked.bytes).toString("base64");
    live.send({ type: "input_audio_buffer.append", audio: part });
  }
});
await ended;
live.close();
console.log(JSON.stringify({ protocol: live.socket.protocol, events }));
