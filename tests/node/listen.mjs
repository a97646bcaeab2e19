// Deepgram's client for Node does what it is told on stdin, and tells what it got on stdout.
//
// stdin and stdout are those of client.mjs
import { createReadStream } from "node:fs";
import { json } from "node:stream/consumers";

import { DeepgramClient, DeepgramError } from "@deepgram/sdk";

const asked = await json(process.stdin);
const answers = new Array(asked.cells.length);
const numbers = asked.cells.keys();
await Promise.all(Array.from({ length: asked.at_once }, work));
console.log(JSON.stringify(answers));

async function work() {
  for (const number of numbers) {
    const cell = asked.cells[number];
    answers[number] = await answer(cell);
    console.error(`Node: ${cell.route} ${JSON.stringify(cell.fields).slice(0, 100)}`);
  }
}

async function answer(cell) {
  const url = asked.url;
  const client = new DeepgramClient({
    apiKey: cell.key,
    environment: { base: url, production: url, agent: url, agentRest: url },
    maxRetries: 0,
    timeoutInSeconds: asked.request_seconds,
  });
  const media = client.listen.v1.media;
  try {
    if (cell.fields.url) return { body: await media.transcribeUrl(cell.fields) };
    return { body: await media.transcribeFile(createReadStream(cell.file), cell.fields) };
  } catch (error) {
    if (!(error instanceof DeepgramError)) throw error;
    const { statusCode: status, body } = error;
    return { error: { name: error.constructor.name, status, ...body } };
  }
}
