import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { binaryEvent, EventStoreDBClient, jsonEvent } from "@eventstore/db-client";

const url = process.env.TEST_EVENTSTORE_URL;
if (!url) throw new Error("TEST_EVENTSTORE_URL names no server: see scripts/conformance.sh");

// One client as most programs have it: appends go through BatchAppend, which it
// uses once the server lists it and there are no credentials to send.
export const client = EventStoreDBClient.connectionString(url);

// What is sent with credentials goes through Append. Without TLS the client
// leaves them away, so that any will do.
export const viaAppend = { credentials: { username: "anybody", password: "anything" } };

export const behaviour = (name, check) => test(name, { timeout: 30_000 }, check);

const prefix = `conformance-${randomUUID().slice(0, 8)}-`;
let streams = 0;

/** A stream that nobody else has. */
export const newStream = (name = "s") => `${prefix}${streams++}-${name}`;

export const event = (text, type = "test") => jsonEvent({ type, data: { text }, metadata: { meta: 1 } });
export const bytes = (length) => binaryEvent({ type: "large", data: new Uint8Array(length) });

/** Appends new events. */
export const say = (stream, ...texts) => client.appendToStream(stream, texts.map((text) => event(text)));

/** What a reading gives, to its end. */
export async function collect(reading) {
  const out = [];
  for await (const resolved of reading) out.push(resolved);
  return out;
}

/** Events as "revision:text". */
export const show = (resolved) => resolved.map(({ link, event }) => {
  const e = link ?? event;
  return `${e.revision}:${e.data?.text ?? ""}`;
});

export async function wantStream(stream, ...want) {
  assert.deepEqual(show(await collect(client.readStream(stream))), want);
}

/** Expects a refusal of a type, with what else it says. */
export async function refused(type, promise, says = {}) {
  const error = await promise.then(() => assert.fail(`not refused: ${type} was expected`), (e) => e);
  assert.equal(error.type, type, `${error.type}: ${error.message}`);
  for (const [key, value] of Object.entries(says)) assert.deepEqual(error[key], value, key);
}

/** Follows a subscription: what it sends, in order, waits in a queue. */
export function follow(subscription) {
  const queue = [];
  const waiting = [];
  const push = (message) => (waiting.length ? waiting.shift()(message) : queue.push(message));
  subscription.on("data", (resolved) => push({ resolved, text: show([resolved])[0] }));
  subscription.on("caughtUp", () => push({ text: "caught up" }));
  subscription.on("fellBehind", () => push({ text: "fell behind" }));
  subscription.on("error", (error) => push({ error, text: `error ${error.type}` }));
  const next = () => (queue.length ? Promise.resolve(queue.shift()) : new Promise((resolve) => waiting.push(resolve)));
  return {
    push,
    next,
    async want(...texts) {
      for (const text of texts) assert.equal((await next()).text, text);
    },
    close: () => subscription.unsubscribe(),
  };
}

export const before = (a, b) => a.commit < b.commit || (a.commit === b.commit && a.prepare < b.prepare);

/** Waits for what nobody tells of; the behaviour's own time bounds it. */
export async function eventually(holds) {
  while (!(await holds()));
}
