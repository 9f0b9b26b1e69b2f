// Appends, deletions and metadata, as the JavaScript client sees them.
import assert from "node:assert/strict";
import { after } from "node:test";
import { ANY, ErrorType, jsonEvent, NO_STREAM, STREAM_EXISTS } from "@eventstore/db-client";
import { behaviour, before, bytes, client, collect, event, newStream, refused, say, viaAppend, wantStream } from "./rig.js";

after(() => client.dispose());

// Each of these holds for an append on its own and for one of a batch.
for (const [way, options] of [["Append", viaAppend], ["BatchAppend", {}]]) {
  const append = (stream, events, expectedRevision) =>
    client.appendToStream(stream, events, { expectedRevision, ...options });

  behaviour(`${way}: answers with the last event's place, and is read back as it was sent`, async () => {
    const stream = newStream();
    const sent = [event("a"), event("b"), bytes(3)];
    const result = await append(stream, sent, NO_STREAM);
    const got = await collect(client.readStream(stream));
    assert.equal(result.success, true);
    assert.equal(result.nextExpectedRevision, 2n);
    assert.deepEqual(result.position, got[2].event.position);
    got.forEach(({ event: e }, i) => {
      assert.equal(e.id, sent[i].id);
      assert.equal(e.type, sent[i].type);
      assert.equal(e.isJson, sent[i].contentType === "application/json");
      assert.equal(e.streamId, stream);
      assert.equal(e.revision, BigInt(i));
      assert.deepEqual(i < 2 ? e.data : new Uint8Array(e.data), sent[i].data);
      assert.deepEqual(e.metadata, sent[i].metadata);
      if (i > 0) assert.ok(before(got[i - 1].event.position, e.position));
    });
  });

  behaviour(`${way}: takes every expectation that holds`, async () => {
    const stream = newStream();
    for (const [i, expected] of [NO_STREAM, 0n, ANY, STREAM_EXISTS].entries()) {
      const { nextExpectedRevision } = await append(stream, event("x"), expected);
      assert.equal(nextExpectedRevision, BigInt(i));
    }
  });

  behaviour(`${way}: tells where a stream is that was expected elsewhere`, async () => {
    const stream = newStream();
    await say(stream, "a", "b");
    const conflict = (expected, says) => refused(ErrorType.WRONG_EXPECTED_VERSION, append(stream, event("x"), expected), says);
    await conflict(NO_STREAM, { streamName: stream, expectedVersion: NO_STREAM, actualVersion: 1n });
    await conflict(0n, { expectedVersion: 0n, actualVersion: 1n });
    await conflict(7n, { expectedVersion: 7n, actualVersion: 1n });
    await refused(ErrorType.WRONG_EXPECTED_VERSION, append(newStream(), event("x"), STREAM_EXISTS), {
      expectedVersion: STREAM_EXISTS, actualVersion: NO_STREAM,
    });
    await wantStream(stream, "0:a", "1:b");
  });

  behaviour(`${way}: gives a repetition its first answer`, async () => {
    const stream = newStream();
    const sent = [event("a"), event("b")];
    const first = await append(stream, sent, NO_STREAM);
    await say(stream, "c");
    assert.deepEqual(await append(stream, sent, NO_STREAM), first);
    assert.deepEqual(await append(stream, sent, ANY), first);
    await refused(ErrorType.WRONG_EXPECTED_VERSION, append(stream, [sent[0], event("x")], NO_STREAM));
    await wantStream(stream, "0:a", "1:b", "2:c");
  });

  behaviour(`${way}: is refused beyond 1 MiB`, async () => {
    const stream = newStream();
    await refused(ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED, append(stream, bytes(1 << 20)), { maxAppendSize: 1 << 20 });
    await refused(ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED, append(stream, Array.from({ length: 30 }, () => bytes(300_000))));
    assert.equal((await append(stream, bytes((1 << 20) - 2 * "large".length), NO_STREAM)).nextExpectedRevision, 0n);
  });

  behaviour(`${way}: is refused by a stream that is closed`, async () => {
    const stream = newStream();
    await client.tombstoneStream(stream);
    await refused(ErrorType.STREAM_DELETED, append(stream, event("x")), { streamName: stream });
  });
}

behaviour("appends that are sent at once are made in their order", async () => {
  const stream = newStream();
  const count = 500;
  const results = await Promise.all(Array.from({ length: count }, (_, i) => client.appendToStream(stream, event(`${i}`))));
  results.forEach((r, i) => assert.equal(r.nextExpectedRevision, BigInt(i)));
  await wantStream(stream, ...Array.from({ length: count }, (_, i) => `${i}:${i}`));
});

behaviour("an append in several messages is one append", async () => {
  const stream = newStream();
  const events = Array.from({ length: 200 }, (_, i) => event(`${i}`));
  const { nextExpectedRevision } = await client.appendToStream(stream, events, { expectedRevision: NO_STREAM, batchAppendSize: 1000 });
  assert.equal(nextExpectedRevision, 199n);
  await wantStream(stream, ...events.map((_, i) => `${i}:${i}`));
});

behaviour("one append's fault is not another's", async () => {
  const stream = newStream();
  const results = await Promise.allSettled([
    client.appendToStream(stream, event("a")),
    client.appendToStream(newStream(), event("x"), { expectedRevision: 5n }),
    client.appendToStream("$$", event("x")),
    client.appendToStream(newStream(), { ...event("x"), type: "" }),
    client.appendToStream(stream, event("b")),
  ]);
  assert.deepEqual(results.map((r) => r.status), ["fulfilled", "rejected", "rejected", "rejected", "fulfilled"]);
  await wantStream(stream, "0:a", "1:b");
});

behaviour("an append that is late is refused", async () => {
  await refused(ErrorType.DEADLINE_EXCEEDED, client.appendToStream(newStream(), event("x"), { deadline: -1000 }));
});

behaviour("a deleted stream is not found until it begins anew, where it stopped", async () => {
  const stream = newStream();
  await say(stream, "a", "b");
  const { position } = await client.deleteStream(stream, { expectedRevision: 1n });
  const [{ event: e }] = await collect(client.readAll({ fromPosition: position, maxCount: 1 }));
  assert.equal(e.type, "$metadata");
  assert.equal(e.streamId, `$$${stream}`);
  await refused(ErrorType.STREAM_NOT_FOUND, collect(client.readStream(stream)), { streamName: stream });
  await refused(ErrorType.STREAM_DELETED, client.appendToStream(stream, event("x"), { expectedRevision: STREAM_EXISTS, ...viaAppend }));
  await client.appendToStream(stream, event("c"), { expectedRevision: NO_STREAM });
  await wantStream(stream, "2:c");
  assert.equal((await client.getStreamMetadata(stream)).metadata.truncateBefore, 2);
});

behaviour("a deletion names what it expected and found", async () => {
  const stream = newStream();
  await say(stream, "a");
  for (const remove of [client.deleteStream, client.tombstoneStream]) {
    await refused(ErrorType.WRONG_EXPECTED_VERSION, remove.call(client, stream, { expectedRevision: 5n }), {
      streamName: stream, expectedVersion: 5n, actualVersion: 0n,
    });
    await refused(ErrorType.WRONG_EXPECTED_VERSION, remove.call(client, stream, { expectedRevision: NO_STREAM }), {
      expectedVersion: -1n, actualVersion: 0n,
    });
  }
  await refused(ErrorType.WRONG_EXPECTED_VERSION, client.deleteStream(newStream()), { expectedVersion: -2n, actualVersion: -1n });
});

behaviour("a tombstone closes a stream to everything", async () => {
  const stream = newStream();
  await say(stream, "a");
  const { position } = await client.tombstoneStream(stream, { expectedRevision: 0n });
  const [{ event: e }] = await collect(client.readAll({ fromPosition: position, maxCount: 1 }));
  assert.equal(e.type, "$streamDeleted");
  assert.equal(e.revision, 2n ** 63n - 1n);
  const says = { streamName: stream };
  await refused(ErrorType.STREAM_DELETED, collect(client.readStream(stream)), says);
  await refused(ErrorType.STREAM_DELETED, client.deleteStream(stream), says);
  await refused(ErrorType.STREAM_DELETED, client.tombstoneStream(stream), says);
  await refused(ErrorType.STREAM_DELETED, client.setStreamMetadata(stream, { maxCount: 1 }), { streamName: `$$${stream}` });
});

behaviour("metadata is given as it was set, and heeded", async () => {
  const stream = newStream();
  await say(stream, "a", "b", "c");
  assert.equal((await client.getStreamMetadata(stream)).metadata, undefined);
  const metadata = { maxCount: 2, maxAge: 3600, acl: { readRoles: ["$admins", "readers"] }, owner: "ü" };
  await client.setStreamMetadata(stream, metadata, { expectedRevision: NO_STREAM });
  await refused(ErrorType.WRONG_EXPECTED_VERSION, client.setStreamMetadata(stream, metadata, { expectedRevision: NO_STREAM }));
  const got = await client.getStreamMetadata(stream);
  assert.equal(got.metadata.maxCount, 2);
  assert.equal(got.metadata.maxAge, 3600);
  assert.equal(got.metadata.owner, "ü");
  assert.deepEqual(got.metadata.acl.readRoles, ["$admins", "readers"]);
  await wantStream(stream, "1:b", "2:c");
});

behaviour("a payload is kept as it is, whatever its content type says", async () => {
  const stream = newStream();
  await client.appendToStream(stream, [jsonEvent({ type: "ü/漢 字", data: [] }), bytes(0)]);
  const got = await collect(client.readStream(stream));
  assert.deepEqual(got[0].event.data, []);
  assert.equal(got[0].event.type, "ü/漢 字");
  assert.equal(got[1].event.data.length, 0);
});
