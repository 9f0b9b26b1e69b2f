// Readings, subscriptions and groups, as the JavaScript client sees them.
import assert from "node:assert/strict";
import { after } from "node:test";
import {
  BACKWARDS, END, ErrorType, eventTypeFilter, excludeSystemEvents, FORWARDS, jsonEvent, persistentSubscriptionToAllSettingsFromDefaults,
  persistentSubscriptionToStreamSettingsFromDefaults, START, streamNameFilter,
} from "@eventstore/db-client";
import { behaviour, before, client, collect, event, eventually, follow, newStream, refused, say, show } from "./rig.js";

after(() => client.dispose());

behaviour("a stream is read both ways from any revision, inclusively", async () => {
  const stream = newStream();
  await say(stream, "a", "b", "c");
  for (const [options, want] of [
    [{}, ["0:a", "1:b", "2:c"]],
    [{ direction: FORWARDS, fromRevision: 1n, maxCount: 1 }, ["1:b"]],
    [{ direction: FORWARDS, fromRevision: 3n }, []],
    [{ direction: FORWARDS, fromRevision: END }, []],
    [{ direction: BACKWARDS, fromRevision: END, maxCount: 2 }, ["2:c", "1:b"]],
    [{ direction: BACKWARDS, fromRevision: 1n }, ["1:b", "0:a"]],
    [{ direction: BACKWARDS, fromRevision: 99n, maxCount: 1 }, ["2:c"]],
    [{ direction: BACKWARDS, fromRevision: START }, ["0:a"]],
  ]) {
    assert.deepEqual(show(await collect(client.readStream(stream, options))), want, JSON.stringify(want));
  }
  await refused(ErrorType.STREAM_NOT_FOUND, collect(client.readStream(newStream())));
});

behaviour("the log is read forwards inclusively and backwards exclusively", async () => {
  const one = newStream(), two = newStream();
  const first = await say(one, "a");
  const middle = await say(two, "b");
  const last = await say(one, "c");
  const read = async (options) => show((await collect(client.readAll(options))).filter(({ event: e }) => [one, two].includes(e.streamId)));
  assert.deepEqual(await read({ fromPosition: first.position }), ["0:a", "0:b", "1:c"]);
  assert.deepEqual(await read({ fromPosition: middle.position, maxCount: 1 }), ["0:b"]);
  assert.deepEqual(await read({ fromPosition: last.position, direction: BACKWARDS, maxCount: 500 }), ["0:b", "0:a"]);
  assert.deepEqual(await read({ fromPosition: END }), []);
  assert.deepEqual(await collect(client.readAll({ fromPosition: START, direction: BACKWARDS })), []);
});

behaviour("links are resolved when that is asked for", async () => {
  const target = newStream("target"), stream = newStream("links");
  await say(target, "a");
  for (const link of [`0@${target}`, `7@${target}`]) {
    await client.appendToStream(stream, { ...jsonEvent({ type: "$>", data: "" }), contentType: "application/octet-stream", data: Buffer.from(link) });
  }
  const [there, gone] = await collect(client.readStream(stream, { resolveLinkTos: true }));
  assert.equal(there.event.streamId, target);
  assert.equal(there.link.streamId, stream);
  assert.equal(there.commitPosition, there.link.position.commit);
  assert.equal(gone.event, undefined);
  assert.equal(gone.link.revision, 1n);
  const [plain] = await collect(client.readStream(stream));
  assert.equal(plain.link, undefined);
  assert.equal(plain.event.type, "$>");
});

behaviour("a subscription to a stream begins after a revision, catches up and goes on", async () => {
  const stream = newStream();
  await say(stream, "a", "b");
  const s = follow(client.subscribeToStream(stream, { fromRevision: 0n }));
  await s.want("1:b", "caught up");
  await say(stream, "c");
  await s.want("2:c");
  await s.close();
});

behaviour("a subscription waits for a stream that is not there", async () => {
  const stream = newStream();
  const s = follow(client.subscribeToStream(stream));
  await s.want("caught up");
  await say(stream, "a");
  await s.want("0:a");
  await s.close();
});

behaviour("a subscription ends with its stream's tombstone", async () => {
  const stream = newStream();
  await say(stream, "a");
  const s = follow(client.subscribeToStream(stream));
  await s.want("0:a", "caught up");
  await client.tombstoneStream(stream);
  await s.want(`${2n ** 63n - 1n}:`, `error ${ErrorType.STREAM_DELETED}`);
});

behaviour("a subscription to the log begins after a position, and a filter chooses", async () => {
  const base = newStream();
  const { position } = await say(`${base}-before`, "x");
  const type = `${base}-type`;
  await client.appendToStream(`${base}-a`, event("1", `${type}-a`));
  await client.appendToStream(`${base}-b`, event("2", `${type}-b`));
  for (const [filter, want] of [
    [eventTypeFilter({ prefixes: [`${type}-a`] }), ["0:1"]],
    [eventTypeFilter({ regex: `^${type}-[ab]$` }), ["0:1", "0:2"]],
    [streamNameFilter({ prefixes: [`${base}-b`, `${base}-none`] }), ["0:2"]],
    [streamNameFilter({ regex: `${base.slice(5)}-[a]` }), ["0:1"]],
  ]) {
    const s = follow(client.subscribeToAll({ fromPosition: position, filter }));
    await s.want(...want, "caught up");
    await s.close();
  }
});

behaviour("a filter without the server's own events leaves them out", async () => {
  const stream = newStream();
  const { position } = await say(newStream(), "x");
  await say(stream, "a");
  await client.setStreamMetadata(stream, { maxCount: 5 });
  await say(stream, "b");
  const s = follow(client.subscribeToAll({ fromPosition: position, filter: excludeSystemEvents() }));
  for (let m = await s.next(); m.text !== "caught up"; m = await s.next()) assert.doesNotMatch(m.resolved.event.type, /^\$/);
  await s.close();
});

behaviour("a filtered subscription passes checkpoints that lie between its events, and resumes from each", async () => {
  const base = newStream();
  const { position } = await say(`${base}-before`, "x");
  for (let i = 0; i < 6; i++) {
    await say(`${base}-no`, "1", "2", "3", "4");
    await say(`${base}-yes`, `${i}`);
  }
  const history = async (fromPosition) => {
    let s; // the filter speaks before there is one
    const filter = streamNameFilter({
      prefixes: [`${base}-yes`], maxSearchWindow: 2, checkpointInterval: 2,
      checkpointReached: async (_, checkpoint) => s.push({ checkpoint, text: "checkpoint" }),
    });
    s = follow(client.subscribeToAll({ fromPosition, filter }));
    const out = [];
    for (let m = await s.next(); m.text !== "caught up"; m = await s.next()) out.push(m);
    await s.close();
    return out;
  };
  const events = (messages) => messages.filter((m) => m.resolved).map((m) => m.text);
  const whole = await history(position);
  assert.deepEqual(events(whole), ["0:0", "1:1", "2:2", "3:3", "4:4", "5:5"]);
  const checkpoints = whole.filter((m) => m.checkpoint);
  assert.ok(checkpoints.length >= 6, `${checkpoints.length} checkpoints`);
  for (const { checkpoint } of checkpoints) {
    // The client hands checkpoints and events over by different ways, so that
    // their order says nothing: their positions do.
    const rest = whole.filter((m) => m.resolved && before(checkpoint, m.resolved.event.position));
    assert.deepEqual(events(await history(checkpoint)), events(rest));
  }
});

behaviour("a group gives, retries, parks and replays events, and goes on where it was", async () => {
  const stream = newStream(), group = newStream("group");
  await say(stream, "a", "b", "c");
  const settings = persistentSubscriptionToStreamSettingsFromDefaults({
    startFrom: START, checkPointLowerBound: 1, checkPointUpperBound: 1, checkPointAfter: 1,
  });
  await client.createPersistentSubscriptionToStream(stream, group, settings);
  await refused(ErrorType.PERSISTENT_SUBSCRIPTION_EXISTS, client.createPersistentSubscriptionToStream(stream, group, settings), {
    streamName: stream, groupName: group,
  });
  const connect = () => {
    const subscription = client.subscribeToPersistentSubscriptionToStream(stream, group, { bufferSize: 1 });
    return Object.assign(follow(subscription), { subscription });
  };
  let s = connect();
  let m = await s.next();
  assert.deepEqual([m.text, m.resolved.retryCount], ["0:a", 0]);
  await s.subscription.nack("retry", "once more", m.resolved);
  m = await s.next();
  assert.deepEqual([m.text, m.resolved.retryCount], ["0:a", 1]);
  await s.subscription.ack(m.resolved);
  m = await s.next();
  assert.equal(m.text, "1:b");
  await s.subscription.nack("park", "not now", m.resolved);
  m = await s.next();
  assert.equal(m.text, "2:c");
  await s.subscription.ack(m.resolved);
  await eventually(async () => {
    const { stats } = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    return stats.parkedMessageCount === 1n && stats.lastCheckpointedEventRevision === 2n;
  });
  await client.replayParkedMessagesToStream(stream, group);
  m = await s.next();
  assert.equal(m.resolved.event.data.text, "b");
  await s.subscription.ack(m.resolved);
  await s.close();
  assert.equal((await client.listPersistentSubscriptionsToStream(stream)).length, 1);
  await say(stream, "d");
  s = connect();
  await s.want("3:d");
  await client.deletePersistentSubscriptionToStream(stream, group);
  await s.want(`error ${ErrorType.PERSISTENT_SUBSCRIPTION_DROPPED}`);
  await refused(ErrorType.PERSISTENT_SUBSCRIPTION_DOES_NOT_EXIST, client.deletePersistentSubscriptionToStream(stream, group), {
    streamName: stream, groupName: group,
  });
});

behaviour("a group of the log gives what its filter wants", async () => {
  const base = newStream(), group = newStream("group");
  await client.createPersistentSubscriptionToAll(group, persistentSubscriptionToAllSettingsFromDefaults({ startFrom: END }), {
    filter: streamNameFilter({ prefixes: [`${base}-yes`] }),
  });
  await say(`${base}-no`, "x");
  await say(`${base}-yes`, "a");
  const s = follow(client.subscribeToPersistentSubscriptionToAll(group));
  await s.want("0:a");
  await s.close();
  await client.deletePersistentSubscriptionToAll(group);
});

behaviour("a service that is not there says so, and the client goes on", async () => {
  const stream = newStream();
  const error = await client.createProjection(newStream("projection"), "fromAll()").then(() => undefined, (e) => e);
  if (error) assert.match(`${error.code} ${error.message}`, /UNIMPLEMENTED/);
  await say(stream, "a");
});
