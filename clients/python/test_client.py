"""The client against a real server.

CONFWATCH_SERVER: the address of a running server. CONFWATCH_BIN: the confwatch binary, to start servers of its own.
Run with the stubs generated: python generate.py && python -m unittest -v
"""

import dataclasses
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
from concurrent import futures
from typing import TextIO
from unittest import mock

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import generate

HERE = pathlib.Path(__file__).resolve().parent
STUBS = tempfile.TemporaryDirectory()
generate.generate(pathlib.Path(STUBS.name))
sys.path[:0] = [STUBS.name, str(HERE)]

import confwatch_client  # noqa: E402
from confwatch.v1 import config_service_pb2, config_service_pb2_grpc, document_pb2, watch_pb2  # noqa: E402
from confwatch_client import Batch, ConfwatchClient, ConfwatchError, Target, Watch  # noqa: E402

PATIENCE_SECONDS = 60


class Reader:
    """Reads a watch in a thread, so that a test fails instead of waiting for ever."""

    def __init__(self, watch: Watch) -> None:
        self._batches: queue.Queue[Batch | BaseException] = queue.Queue()
        self._watch = watch
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for batch in self._watch:
                self._batches.put(batch)
        except BaseException as error:  # noqa: BLE001: raised again by next()
            self._batches.put(error)

    def next(self) -> Batch:
        batch = self._batches.get(timeout=PATIENCE_SECONDS)
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self) -> None:
        self._watch.close()
        self._thread.join(PATIENCE_SECONDS)


class Server:
    """A `confwatch serve` of our own, on a directory and, the second time, on the same port."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.address = "127.0.0.1:0"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        arguments = ["serve", "--data-dir", self._directory, "--listen", self.address]
        self._process = subprocess.Popen(
            [os.environ["CONFWATCH_BIN"], *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said = []
        for line in self._process.stdout:
            said.append(line)
            if " serving on " in line:
                self.address = line.split(" serving on ")[1].split(",")[0].strip()
                threading.Thread(target=self._drain, args=(self._process.stdout,), daemon=True).start()
                return
        raise AssertionError("the server did not start: " + "".join(said))

    @staticmethod
    def _drain(output: TextIO) -> None:
        """The server must never wait for someone to read what it logs."""
        with output:
            output.read()

    def stop(self, how: signal.Signals) -> int:
        self._process.send_signal(how)
        return self._process.wait(PATIENCE_SECONDS)


class WithServer(unittest.TestCase):
    """The calls, against the server that runs already."""

    def setUp(self) -> None:
        if "CONFWATCH_SERVER" not in os.environ:
            self.skipTest("CONFWATCH_SERVER is not set")
        self.client = ConfwatchClient(os.environ["CONFWATCH_SERVER"], actor="python-test", client_id="python")
        self.addCleanup(self.client.close)
        # A namespace of its own for each test.
        self.target = Target(f"python-{uuid.uuid4().hex[:12]}", "checkout", "/production")

    def test_what_was_set_is_read(self) -> None:
        answer = self.client.set(self.target, {"schedule.day": "thursday", "content.max": 30})
        self.assertTrue(answer.changed)
        document = self.client.get(self.target)
        self.assertEqual(document.value, {"schedule": {"day": "thursday"}, "content": {"max": 30}})
        self.assertEqual(document.digest, answer.document.digest)

    def test_integers_keep_all_their_digits(self) -> None:
        self.client.set(self.target, {"big": 2**63 + 1})
        self.assertEqual(self.client.get(self.target).value, {"big": 2**63 + 1})

    def test_a_bad_document_gives_findings(self) -> None:
        report = self.client.validate(self.target, '{"a": 1, "a": 2}')
        self.assertFalse(report.valid)
        self.assertEqual([finding.code for finding in report.findings], ["DUPLICATE_KEY"])
        report = self.client.validate(self.target, "a: [1", document_pb2.FORMAT_YAML)
        self.assertEqual([finding.code for finding in report.findings], ["MALFORMED_DOCUMENT"])
        self.assertTrue(self.client.validate(self.target, "a: [1]", document_pb2.FORMAT_YAML).valid)

    def test_rollback_restores_an_older_version(self) -> None:
        self.client.replace(self.target, {"max": 10})
        self.client.replace(self.target, {"max": 20})
        answer = self.client.rollback(self.target.namespace, self.target.config, 1, reason="20 was too many")
        self.assertEqual((answer.version, answer.restored_version), (3, 1))
        self.assertEqual(self.client.get(self.target).value, {"max": 10})

    def test_a_stale_write_is_refused_with_the_current_version(self) -> None:
        self.client.replace(self.target, {"max": 10})
        self.client.replace(self.target, {"max": 20}, expected_version=1)
        with self.assertRaises(ConfwatchError) as raised:
            self.client.replace(self.target, {"max": 30}, expected_version=1)
        self.assertEqual(raised.exception.code, grpc.StatusCode.ABORTED)
        self.assertEqual(raised.exception.reason, "VERSION_MISMATCH")
        self.assertEqual(raised.exception.metadata["current_version"], "2")

    def test_a_write_is_safe_by_the_version_of_the_layer_and_not_of_the_config(self) -> None:
        self.client.replace(self.target, {"max": 10}, expected_version=0)
        self.client.replace(dataclasses.replace(self.target, scope="/"), {"max": 1})
        document = self.client.get(self.target)
        self.assertEqual((document.version, document.layer_versions), (2, {"/": 2, "/production": 1}))
        self.client.replace(self.target, {"max": 20}, expected_version=document.layer_versions["/production"])

    def test_whoever_acts_may_have_any_name(self) -> None:
        with ConfwatchClient(os.environ["CONFWATCH_SERVER"], actor="Zoë 100%") as client:
            client.replace(self.target, {"max": 10})
            request = config_service_pb2.ListVersionsRequest(namespace=self.target.namespace, config="checkout")
            history = client._call(client._service.ListVersions, request)
        self.assertEqual(history.versions[0].commit.actor, "Zoë 100%")

    def test_a_target_is_the_same_however_its_scope_is_written(self) -> None:
        self.client.replace(self.target, {"max": 10})
        target = dataclasses.replace(self.target, scope="/production/")
        watch = self.client.watch(target)
        self.assertEqual(next(iter(watch)).documents[target].value, {"max": 10})
        watch.close()

    def test_what_does_not_exist_says_so(self) -> None:
        with self.assertRaises(ConfwatchError) as raised:
            self.client.get(self.target)
        self.assertEqual(raised.exception.code, grpc.StatusCode.NOT_FOUND)
        self.assertEqual(raised.exception.reason, "CONFIG_NOT_FOUND")

    def test_a_watch_sees_snapshot_change_and_rollback(self) -> None:
        self.client.replace(self.target, {"max": 10})
        reader = Reader(self.client.watch(self.target))
        self.addCleanup(reader.close)

        first = reader.next()
        self.assertTrue(first.snapshot)
        self.assertEqual(first.documents[self.target].value, {"max": 10})

        self.client.set(self.target, {"max": 20})
        second = reader.next()
        self.assertFalse(second.snapshot)
        self.assertEqual(second.documents[self.target].value, {"max": 20})

        self.client.rollback(self.target.namespace, self.target.config, 1)
        third = reader.next()
        self.assertEqual(third.documents[self.target].value, {"max": 10})
        self.assertEqual(third.documents[self.target].digest, first.documents[self.target].digest)
        self.assertLess(first.revision, second.revision)
        self.assertLess(second.revision, third.revision)

    def test_a_watch_of_all_configs_sees_them_come_and_go(self) -> None:
        everything = Target(self.target.namespace, "*")
        reader = Reader(self.client.watch(everything))
        self.addCleanup(reader.close)
        self.assertEqual(reader.next().documents, {})
        search = Target(self.target.namespace, "search")
        self.client.replace(search, {"size": 1})
        self.assertEqual(reader.next().documents[search].value, {"size": 1})

    def test_a_request_that_can_never_work_ends_the_watch(self) -> None:
        reader = Reader(self.client.watch(Target("NOT A NAME", "x")))
        with self.assertRaises(ConfwatchError) as raised:
            reader.next()
        self.assertEqual(raised.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

    def test_a_slow_network_is_no_reason_to_give_a_connection_up(self) -> None:
        network = SlowNetwork(os.environ["CONFWATCH_SERVER"])
        self.addCleanup(network.close)
        with ConfwatchClient(network.address) as client:
            client.replace(self.target, {"max": 10})
            self.assertEqual(client.get(self.target).value, {"max": 10})
        self.assertEqual(network.connections, 1)


class SlowNetwork:
    """Passes connections on, and what the server says 300 ms late: `grpc.min_reconnect_backoff_ms=100` would give a connection 100 ms."""

    DELAY_SECONDS = 0.3

    def __init__(self, server: str) -> None:
        host, port = server.rsplit(":", 1)
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self._server)
            for source, to, delay in ((connection, server, 0.0), (server, connection, self.DELAY_SECONDS)):
                threading.Thread(target=self._pass, args=(source, to, delay), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, to: socket.socket, delay: float) -> None:
        try:
            while data := source.recv(65536):
                time.sleep(delay)
                to.sendall(data)
        except OSError:
            pass
        source.close()
        to.close()

    def close(self) -> None:
        self._listener.close()


class FakeProxy:
    """Answers every request with an HTTP status, as a proxy does whose backend is not there."""

    def __init__(self, address: str, status: int) -> None:
        self._status = status
        self.requests = 0
        host, port = address.rsplit(":", 1)
        self._listener = socket.create_server((host, int(port)))
        self._listener.settimeout(0.1)
        self._open = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connections = []
        while self._open:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        for connection in connections:
            connection.close()
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        """HTTP/2 by hand: an empty SETTINGS, and for each HEADERS one with nothing but a status."""

        def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
            return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

        def exactly(count: int) -> bytes:
            data = b""
            while len(data) < count:
                piece = connection.recv(count - len(data))
                if not piece:
                    raise OSError("closed")
                data += piece
            return data

        try:
            exactly(24)
            connection.sendall(frame(4, 0, 0))
            while True:
                head = exactly(9)
                exactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind == 4 and not flags & 1:
                    connection.sendall(frame(4, 1, 0))
                elif kind == 6 and not flags & 1:
                    connection.sendall(frame(6, 1, 0, b"\0" * 8))
                elif kind == 1:
                    self.requests += 1
                    # A literal :status, without indexing.
                    status = b"\x08\x03" + str(self._status).encode()
                    connection.sendall(frame(1, 0x5, stream, status))
        except OSError:
            connection.close()

    def close(self) -> None:
        self._open = False
        self._thread.join(PATIENCE_SECONDS)


class FakeService(config_service_pb2_grpc.ConfigServiceServicer):
    """Denies the watch until it is allowed, and then gives one document."""

    def __init__(self) -> None:
        self.allowed = threading.Event()
        self.denials = threading.Semaphore(0)

    def Watch(self, request, context):  # noqa: N802: the name of the RPC
        if not self.allowed.is_set():
            self.denials.release()
            info = error_details_pb2.ErrorInfo(domain="confwatch", reason="PERMISSION_DENIED")
            detail = any_pb2.Any()
            detail.Pack(info)
            code = grpc.StatusCode.PERMISSION_DENIED
            context.abort_with_status(
                rpc_status.to_status(status_pb2.Status(code=code.value[0], message="denied", details=[detail]))
            )
        state = watch_pb2.TargetState(target=request.targets[0], state=watch_pb2.STATE_ABSENT)
        snapshot = watch_pb2.Snapshot(states=[state])
        yield watch_pb2.WatchResponse(revision=7, resume_token="t", snapshot=snapshot)
        # Ends: the next stream is denied again, if it is no longer allowed.


class Endings(unittest.TestCase):
    """No ending is final: neither what a proxy says, nor a policy that is taken back."""

    def test_what_a_proxy_says_is_retried(self) -> None:
        if "CONFWATCH_BIN" not in os.environ:
            self.skipTest("CONFWATCH_BIN is not set")
        for status in (401, 403, 404):
            with self.subTest(status=status), tempfile.TemporaryDirectory() as directory:
                server = Server(directory)
                server.start()
                with ConfwatchClient(server.address) as client:
                    client.replace(Target("shop", "checkout"), {"max": 10})
                server.stop(signal.SIGTERM)
                proxy = FakeProxy(server.address, status)
                with ConfwatchClient(server.address) as client:
                    watch = client.watch(Target("shop", "checkout"))
                    reader = Reader(watch)
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    while proxy.requests < 3 and time.monotonic() < deadline:
                        time.sleep(0.01)
                    self.assertGreaterEqual(proxy.requests, 3)
                    self.assertEqual(watch.error.reason, "")
                    proxy.close()
                    server.start()
                    self.assertEqual(reader.next().documents[Target("shop", "checkout")].value, {"max": 10})
                    self.assertIsNone(watch.error)
                    reader.close()
                server.stop(signal.SIGKILL)

    def test_a_denial_is_reported_and_asked_again_slowly(self) -> None:
        service = FakeService()
        server = grpc.server(futures.ThreadPoolExecutor(4))
        config_service_pb2_grpc.add_ConfigServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        with mock.patch.object(confwatch_client, "SLOW_SECONDS", 0.05), ConfwatchClient(f"127.0.0.1:{port}") as client:
            watch = client.watch(Target("shop", "checkout"))
            reader = Reader(watch)
            for _ in range(3):
                self.assertTrue(service.denials.acquire(timeout=PATIENCE_SECONDS))
            self.assertEqual(watch.error.reason, "PERMISSION_DENIED")
            service.allowed.set()
            self.assertEqual(reader.next().revision, 7)
            reader.close()


class Restart(unittest.TestCase):
    """The watch, through restarts of a server of its own."""

    def setUp(self) -> None:
        if "CONFWATCH_BIN" not in os.environ:
            self.skipTest("CONFWATCH_BIN is not set")

    def restart(self, how: signal.Signals) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        server = Server(directory.name)
        server.start()
        self.addCleanup(server.stop, signal.SIGKILL)
        client = ConfwatchClient(server.address)
        self.addCleanup(client.close)
        checkout, search = Target("shop", "checkout", "/production"), Target("shop", "search")
        client.replace(checkout, {"max": 10})
        client.replace(search, {"size": 1})
        reader = Reader(client.watch(checkout, search))
        self.addCleanup(reader.close)
        before = reader.next()
        self.assertEqual(before.changed, {checkout, search})

        server.stop(how)
        server.start()

        after = reader.next()
        self.assertTrue(after.snapshot)
        self.assertFalse(after.reset)
        self.assertEqual(after.changed, frozenset(), "unchanged documents must not be sent again")
        self.assertEqual(after.documents, before.documents)
        self.assertGreaterEqual(after.revision, before.revision)

        client.set(checkout, {"max": 11})
        update = reader.next()
        self.assertEqual(update.changed, {checkout})
        self.assertEqual(update.documents[checkout].value, {"max": 11})
        reader.close()

    def test_a_watch_resumes_after_a_shutdown(self) -> None:
        self.restart(signal.SIGTERM)

    def test_a_watch_resumes_after_a_kill(self) -> None:
        self.restart(signal.SIGKILL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
