// OpenAI's client for Node does what it is told on stdin, and tells what it got on stdout.
//
// stdin: {"url", "key", "at_once", "request_seconds", "cells": [{"route", "file", "key", "fields"}]}
// stdout: a list of answers, {"body"}, {"events"} or {"error"}, one for each cell
// stderr: a line for each cell that is done
import { createReadStream } from "node:fs";
import { json } from "node:stream/consumers";

import OpenAI from "openai";

const asked = await json(process.stdin);
const answers = new Array(asked.cells.length);
const numbers = asked.cells.keys();
await Promise.all(Array.from({ length: asked.at_once }, work));
console.log(JSON.stringify(answers));

async function work() {
  for (const number of numbers) {
    const cell = asked.cells[number];
    answers[number] = await answer(cell);
    console.error(`Node: ${cell.route} ${JSON.stringify(cell.fields)}`);
  }
}

async function answer(cell) {
  const client = new OpenAI({
    baseURL: asked.url,
    apiKey: cell.key ?? asked.key,
    maxRetries: 0,
    timeout: 1000 * (asked.request_seconds ?? 60),
  });
  try {
    if (cell.route === "models") return { body: await models(client, cell.fields.model) };
    const fields = { file: createReadStream(cell.file), model: "whisper-1", ...cell.fields };
    const got = await client.audio[cell.route].create(fields);
    return cell.fields.stream ? { events: await all(got) } : { body: got };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    const { status, type, param, code } = error;
    return { error: { name: error.constructor.name, status, type, param, code } };
  }
}

async function models(client, model) {
  return model ? await client.models.retrieve(model) : await all(client.models.list());
}

async function all(things) {
  const found = [];
  for await (const thing of things) found.push(thing);
  return found;
}
