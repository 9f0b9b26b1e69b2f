// Talks to a running server as its document says: logs in, makes a project and a
// session, follows it live, posts a message and reads it back from the stream.
// BASE_URL (with the base path), EMAIL and PASSWORD say where and as whom. The exit
// code is 0 when the server kept its word.
import { EventSource } from "eventsource";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

const patience = 30_000;

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

function assert(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** Takes the data of an answer, or fails with the server's error. */
function answered<T>(what: string, result: { data?: T; error?: unknown; response: Response }): T {
  if (result.data === undefined) {
    throw new Error(`${what}: ${result.response.status} ${JSON.stringify(result.error)}`);
  }
  return result.data;
}

const baseUrl = setting("BASE_URL").replace(/\/$/, "");
const client = createClient<paths>({ baseUrl });

async function logIn(): Promise<void> {
  const tokens = answered(
    "log in",
    await client.POST("/auth/login", { body: { method: "password", email: setting("EMAIL"), password: setting("PASSWORD") } }),
  );
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${tokens.access_token}`);
      return request;
    },
  });
  const { user } = answered("who am I", await client.GET("/me"));
  assert(user.email.toLowerCase() === setting("EMAIL").toLowerCase(), `logged in as ${user.email}`);
}

/** Creates a project twice under one key, which makes one. */
async function createProject(): Promise<Schemas["Project"]> {
  const create = () =>
    client.POST("/projects", {
      params: { header: { "Idempotency-Key": `clienttest-${process.pid}-${started}` } },
      body: { name: "Client test", repo: { provider: "none", depth: 12 } },
    });
  const first = answered("create a project", await create()).project;
  const again = await create();
  assert(answered("create it again", again).project.id === first.id, "one key made two projects");
  assert(again.response.headers.get("Idempotency-Replayed") === "true", "the repetition does not say that it is one");
  assert(first.description === "" && first.status === "active" && first.environment === "dev", "the defaults are others");
  return first;
}

/** Opens the session's stream the way a browser does: by a ticket in the query. */
async function follow(sessionID: string): Promise<EventSource> {
  const path = `/stream/sessions/${sessionID}`;
  const { ticket } = answered("get a ticket", await client.POST("/auth/tickets", { body: { path } }));
  const source = new EventSource(`${baseUrl}${path}?from_cursor=0&ticket=${encodeURIComponent(ticket)}`);
  await within("open the stream", (done, fail) => {
    source.addEventListener("open", () => done(undefined));
    source.addEventListener("error", (event) => fail(new Error(`the stream: ${event.code ?? ""} ${event.message ?? ""}`)));
  });
  return source;
}

function within<T>(what: string, start: (done: (value: T) => void, fail: (cause: Error) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: nothing within ${patience} ms`)), patience);
    start(
      (value) => (clearTimeout(timer), resolve(value)),
      (cause) => (clearTimeout(timer), reject(cause)),
    );
  });
}

/** Posts a message and waits until the stream shows it. */
async function postAndRead(source: EventSource, sessionID: string): Promise<void> {
  const frames: { id: string; frame: Schemas["MessageFrame"] }[] = [];
  let arrived = () => {};
  source.addEventListener("message", (event) => {
    frames.push({ id: event.lastEventId, frame: JSON.parse(event.data) as Schemas["MessageFrame"] });
    arrived();
  });

  const text = "Grüße 🚀 from the client test";
  const { message_id } = answered(
    "post a message",
    await client.POST("/sessions/{session_id}/messages", {
      params: { path: { session_id: sessionID } },
      body: { role: "user", content: [{ type: "text", text }], meta: { big: 9007199254740991 } },
    }),
  );
  const seen = await within<{ id: string; frame: Schemas["MessageFrame"] }>("read the message from the stream", (done) => {
    arrived = () => {
      const match = frames.find(({ frame }) => frame.data.id === message_id);
      if (match) done(match);
    };
    arrived();
  });
  assert(/^\d+$/.test(seen.id), `the frame's id is ${seen.id}`);
  assert(seen.frame.type === "message" && seen.frame.data.content[0]?.text === text, `the frame is ${JSON.stringify(seen.frame)}`);

  const page = answered(
    "list the messages",
    await client.GET("/sessions/{session_id}/messages", { params: { path: { session_id: sessionID }, query: { limit: 10 } } }),
  );
  assert(page.items.length === 1 && page.items[0]?.id === message_id && page.next_cursor === null, "the list is not that one message");
}

async function refused(): Promise<void> {
  const { error, response } = await client.GET("/projects/{project_id}", { params: { path: { project_id: "proj_unknown" } } });
  const answer = error as Schemas["Error"] | undefined;
  assert(response.status === 404 && answer?.error.code === "project_not_found", `an unknown project is ${response.status} ${JSON.stringify(error)}`);
  assert(answer.error.request_id === response.headers.get("X-Request-Id"), "the request has two ids");
}

const started = Date.now();
await logIn();
await refused();
const project = await createProject();
const { session } = answered(
  "start a session",
  await client.POST("/projects/{project_id}/sessions", {
    params: { path: { project_id: project.id } },
    body: { title: "Client test", tags: ["test"] },
  }),
);
const source = await follow(session.id);
try {
  await postAndRead(source, session.id);
} finally {
  source.close();
}
answered("delete the project", await client.DELETE("/projects/{project_id}", { params: { path: { project_id: project.id } } }));
console.log(`the server keeps its word (${Date.now() - started} ms)`);
