// The client against a real server.
//
// CONFWATCH_SERVER: the address of a running server. CONFWATCH_BIN: the confwatch binary, to start servers of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";

import grpc from "@grpc/grpc-js";

import { ConfwatchClient, ConfwatchError, keyOf, service } from "./confwatch-client.js";

const { CONFWATCH_SERVER, CONFWATCH_BIN } = process.env;
const LIMITS = { timeout: 120_000 };

/** A client and a target in a namespace of its own, for one test. */
function setUp(t) {
  const client = new ConfwatchClient(CONFWATCH_SERVER, { actor: "node-test", clientId: "node" });
  t.after(() => client.close());
  const namespace = `node-${randomUUID().slice(0, 12).replace(/-$/, "0")}`;
  return { client, target: { namespace, config: "checkout", scope: "/production" } };
}

/** Reads a watch until the test ends. */
function follow(t, client, targets) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const batches = client.watch(targets, { signal: abort.signal });
  return { next: async () => (await batches.next()).value, stop: () => abort.abort() };
}

async function refused(promise) {
  const error = await promise.then(
    () => assert.fail("the call should have failed"),
    (error) => error,
  );
  assert.ok(error instanceof ConfwatchError, String(error));
  return error;
}

describe("calls", { skip: CONFWATCH_SERVER ? false : "CONFWATCH_SERVER is not set", ...LIMITS }, () => {
  test("what was set is read", async (t) => {
    const { client, target } = setUp(t);
    const answer = await client.set(target, { "schedule.day": "thursday", "content.max": 30 });
    assert.equal(answer.changed, true);
    const document = await client.get(target);
    assert.deepEqual(document.value, { schedule: { day: "thursday" }, content: { max: 30 } });
    assert.equal(document.digest, answer.document.digest);
    assert.equal(document.version, "1", "64-bit integers are strings");
  });

  test("a bad document gives findings", async (t) => {
    const { client, target } = setUp(t);
    const bad = await client.validate(target, '{"a": 1, "a": 2}');
    assert.equal(bad.valid, false);
    assert.deepEqual(bad.findings.map(({ code, severity }) => [code, severity]), [["DUPLICATE_KEY", "SEVERITY_ERROR"]]);
    const good = await client.validate(target, "a: [1]", "FORMAT_YAML");
    assert.equal(good.valid, true);
  });

  test("a write is safe by the version of the layer and not of the config", async (t) => {
    const { client, target } = setUp(t);
    await client.replace(target, { max: 10 }, { expectedVersion: 0 });
    await client.replace({ ...target, scope: "/" }, { max: 1 });
    const { version, layerVersions } = await client.get(target);
    assert.deepEqual([version, layerVersions], ["2", { "/": "2", "/production": "1" }]);
    await client.replace(target, { max: 20 }, { expectedVersion: layerVersions["/production"] });
  });

  test("a target is the same however its scope is written, and so is who acts", async (t) => {
    const { target } = setUp(t);
    const client = new ConfwatchClient(CONFWATCH_SERVER, { actor: "Zoë 100%" });
    t.after(() => client.close());
    await client.replace(target, { max: 10 });
    const slashed = { ...target, scope: "/production/" };
    for await (const { documents } of client.watch([slashed])) {
      assert.deepEqual(documents.get(keyOf(slashed)).value, { max: 10 });
      break;
    }
  });

  test("rollback restores an older version", async (t) => {
    const { client, target } = setUp(t);
    await client.replace(target, { max: 10 });
    await client.replace(target, { max: 20 });
    const answer = await client.rollback(target.namespace, target.config, 1, { reason: "20 was too many" });
    assert.deepEqual([answer.version, answer.restoredVersion], ["3", "1"]);
    assert.deepEqual((await client.get(target)).value, { max: 10 });
  });

  test("a stale write is refused with the current version", async (t) => {
    const { client, target } = setUp(t);
    await client.replace(target, { max: 10 });
    await client.replace(target, { max: 20 }, { expectedVersion: "1" });
    const error = await refused(client.replace(target, { max: 30 }, { expectedVersion: "1" }));
    assert.equal(error.code, grpc.status.ABORTED);
    assert.equal(error.reason, "VERSION_MISMATCH");
    assert.equal(error.metadata.current_version, "2");
  });

  test("what does not exist says so", async (t) => {
    const { client, target } = setUp(t);
    const error = await refused(client.get(target));
    assert.equal(error.code, grpc.status.NOT_FOUND);
    assert.equal(error.reason, "CONFIG_NOT_FOUND");
  });

  test("a watch sees snapshot, change and rollback", async (t) => {
    const { client, target } = setUp(t);
    const key = keyOf(target);
    await client.replace(target, { max: 10 });
    const watch = follow(t, client, [target]);

    const first = await watch.next();
    assert.equal(first.snapshot, true);
    assert.deepEqual(first.documents.get(key).value, { max: 10 });

    await client.set(target, { max: 20 });
    const second = await watch.next();
    assert.equal(second.snapshot, false);
    assert.deepEqual(second.documents.get(key).value, { max: 20 });

    await client.rollback(target.namespace, target.config, 1);
    const third = await watch.next();
    assert.deepEqual(third.documents.get(key).value, { max: 10 });
    assert.equal(third.documents.get(key).digest, first.documents.get(key).digest);
    assert.ok(BigInt(first.revision) < BigInt(second.revision) && BigInt(second.revision) < BigInt(third.revision));
  });

  test("a watch of all configs sees them come", async (t) => {
    const { client, target } = setUp(t);
    const watch = follow(t, client, [{ namespace: target.namespace, config: "*", scope: "/" }]);
    assert.equal((await watch.next()).documents.size, 0);
    const search = { namespace: target.namespace, config: "search", scope: "/" };
    await client.replace(search, { size: 1 });
    assert.deepEqual((await watch.next()).documents.get(keyOf(search)).value, { size: 1 });
  });

  test("a request that can never work ends the watch", async (t) => {
    const { client } = setUp(t);
    const error = await refused(follow(t, client, [{ namespace: "NOT A NAME", config: "x", scope: "/" }]).next());
    assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
  });
});

describe("endings", LIMITS, () => {
  for (const status of [401, 403, 404]) {
    test(`a proxy that answers ${status} is asked again`, { skip: !CONFWATCH_BIN }, async (t) => {
      const directory = await mkdtemp(join(tmpdir(), "confwatch-"));
      t.after(() => rm(directory, { recursive: true, force: true }));
      let server = await serve(directory, "127.0.0.1:0");
      t.after(() => stop(server, "SIGKILL"));
      const target = { namespace: "shop", config: "checkout", scope: "/" };
      const writer = new ConfwatchClient(server.address);
      await writer.replace(target, { max: 10 });
      writer.close();
      await stop(server, "SIGTERM");

      const sessions = new Set();
      const proxy = http2.createServer();
      proxy.on("session", (session) => sessions.add(session));
      proxy.on("stream", (stream) => stream.respond({ ":status": status }, { endStream: true }));
      const [host, port] = server.address.split(":");
      proxy.listen(Number(port), host);
      await once(proxy, "listening");

      const client = new ConfwatchClient(server.address);
      t.after(() => client.close());
      const abort = new AbortController();
      t.after(() => abort.abort());
      const errors = [];
      let enough;
      const thrice = new Promise((resolve) => (enough = resolve));
      const onError = (error) => errors.push(error) === 3 && enough();
      const first = client.watch([target], { signal: abort.signal, onError }).next();
      await Promise.race([thrice, first]);
      assert.equal(errors[0].reason, "");
      proxy.close();
      for (const session of sessions) session.destroy();
      server = await serve(directory, server.address);
      assert.deepEqual((await first).value.documents.get(keyOf(target)).value, { max: 10 });
    });
  }

  test("a denial is told and asked again slowly", async (t) => {
    let denials = 0;
    const details = new grpc.Metadata();
    // google.rpc.Status{7, "denied", [Any{ErrorInfo{"PERMISSION_DENIED", "confwatch"}}]}
    const text = (field, value) => Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
    const info = Buffer.concat([text(1, "PERMISSION_DENIED"), text(2, "confwatch")]);
    const any = Buffer.concat([text(1, "type.googleapis.com/google.rpc.ErrorInfo"), text(2, info)]);
    details.set("grpc-status-details-bin", Buffer.concat([Buffer.from([8, 7]), text(2, "denied"), text(3, any)]));
    const server = new grpc.Server();
    server.addService(service, {
      Watch(call) {
        if (++denials < 4) {
          call.emit("error", { code: grpc.status.PERMISSION_DENIED, details: "denied", metadata: details });
          return;
        }
        const state = { target: call.request.targets[0], state: "STATE_ABSENT" };
        call.write({ revision: "7", resumeToken: "t", snapshot: { states: [state] } });
        call.end();
      },
    });
    const port = await new Promise((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    );
    t.after(() => server.forceShutdown());
    const client = new ConfwatchClient(`127.0.0.1:${port}`);
    t.after(() => client.close());
    const abort = new AbortController();
    t.after(() => abort.abort());
    const errors = [];
    const target = { namespace: "shop", config: "checkout", scope: "/" };
    const options = { signal: abort.signal, onError: (error) => errors.push(error.reason), slowMs: 20 };
    const { value } = await client.watch([target], options).next();
    assert.equal(value.revision, "7");
    assert.deepEqual(errors, ["PERMISSION_DENIED", "PERMISSION_DENIED", "PERMISSION_DENIED"]);
  });
});

describe("restarts", { skip: CONFWATCH_BIN ? false : "CONFWATCH_BIN is not set", ...LIMITS }, () => {
  for (const [name, how] of [["a shutdown", "SIGTERM"], ["a kill", "SIGKILL"]]) {
    test(`a watch resumes after ${name}`, async (t) => {
      const directory = await mkdtemp(join(tmpdir(), "confwatch-"));
      t.after(() => rm(directory, { recursive: true, force: true }));
      let server = await serve(directory, "127.0.0.1:0");
      t.after(() => stop(server, "SIGKILL"));
      const client = new ConfwatchClient(server.address);
      t.after(() => client.close());

      const checkout = { namespace: "shop", config: "checkout", scope: "/production" };
      const search = { namespace: "shop", config: "search", scope: "/" };
      await client.replace(checkout, { max: 10 });
      await client.replace(search, { size: 1 });
      const watch = follow(t, client, [checkout, search]);
      const before = await watch.next();
      assert.deepEqual([...before.changed].sort(), [keyOf(checkout), keyOf(search)]);

      // Asked for first, so that the stream is being read when the server goes away.
      const resumed = watch.next();
      await stop(server, how);
      server = await serve(directory, server.address);

      const after = await resumed;
      assert.equal(after.snapshot, true);
      assert.equal(after.reset, false);
      assert.deepEqual([...after.changed], [], "unchanged documents must not be sent again");
      assert.deepEqual(after.documents, before.documents);

      await client.set(checkout, { max: 11 });
      const update = await watch.next();
      assert.deepEqual([...update.changed], [keyOf(checkout)]);
      assert.deepEqual(update.documents.get(keyOf(checkout)).value, { max: 11 });
      watch.stop();
    });
  }
});

/** Starts `confwatch serve` and waits until it says where. */
async function serve(directory, listen) {
  const child = spawn(CONFWATCH_BIN, ["serve", "--data-dir", directory, "--listen", listen]);
  const said = [];
  const address = await new Promise((resolve, reject) => {
    for (const output of [child.stdout, child.stderr]) {
      createInterface(output).on("line", (line) => {
        said.push(line);
        const match = / serving on ([^,\s]+)/.exec(line);
        if (match) resolve(match[1]);
      });
    }
    child.on("exit", () => reject(new Error(`the server did not start:\n${said.join("\n")}`)));
  });
  return { child, address };
}

async function stop({ child }, how) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill(how);
  await exit;
}
