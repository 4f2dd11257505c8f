"""A small confwatch client: get, set, validate, rollback, and a watch that survives restarts of the server.

Needs the stubs that generate.py makes on the import path. Everything here follows from the comments in proto/.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from confwatch.v1 import commit_pb2, config_service_pb2, config_service_pb2_grpc, document_pb2, watch_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

CHANNEL_OPTIONS = [
    # Finds a dead connection within 30 s. The server takes pings every 10 s or slower.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The watch has a backoff of its own; the channel must not wait longer than it. Leave grpc.min_reconnect_backoff_ms alone: gRPC
    # gives a connection that long to come about, TLS included.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 10_000),
]

BACKOFF_MIN_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 10.0

# If the server itself says so, somebody has to do something first: the watch asks again, but slowly.
SLOW_CODES = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
)
SLOW_SECONDS = 10.0

DOMAIN = "confwatch"

log = logging.getLogger(__name__)


class ConfwatchError(Exception):
    """A call that failed: a code, and if the server itself said so, a reason to act on, and what belongs to it."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code: grpc.StatusCode = error.code()
        self.reason = ""
        """Empty: the error is not of the server but of a proxy, or of the connection. Treat it as UNAVAILABLE, whatever its code."""
        self.metadata: dict[str, str] = {}
        self.retry_seconds: float | None = None
        self.report: document_pb2.ValidationReport | None = None
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            info = error_details_pb2.ErrorInfo()
            retry = error_details_pb2.RetryInfo()
            report = document_pb2.ValidationReport()
            if detail.Unpack(info) and info.domain == DOMAIN:
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
            elif detail.Unpack(report):
                self.report = report


@dataclasses.dataclass(frozen=True)
class Target:
    """What to watch. The config "*" means every config of the namespace."""

    namespace: str
    config: str
    scope: str = "/"

    def __post_init__(self) -> None:
        # As the server writes it: answers are matched with targets by it.
        object.__setattr__(self, "scope", self.scope.removesuffix("/") or "/")


@dataclasses.dataclass(frozen=True)
class Document:
    """A config as it holds for a scope."""

    value: Any
    version: int
    revision: int
    digest: str
    layer_versions: dict[str, int]
    """The version of each base layer, by scope: what `expected_version` of a write to that scope means, 0 where there is none."""

    @classmethod
    def read(cls, document: document_pb2.Document) -> Document:
        value = json.loads(document.content) if document.content else None
        layers = {x.scope: x.version for x in document.layers if x.kind == document_pb2.LAYER_KIND_BASE}
        return cls(value, document.version, document.revision, document.digest, layers)


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one commit, or a reconnect, means for the targets: apply all of it at once."""

    revision: int
    """Everything up to here is known now."""
    documents: dict[Target, Document]
    """All documents held now, the unchanged ones included. A target without one has none."""
    changed: frozenset[Target]
    """The targets whose documents came, or went, with this batch."""
    snapshot: bool
    """The first batch of a connection."""
    reset: bool
    """The history is another one than before: revisions may be lower."""


class ConfwatchClient:
    """One channel to a server. May be shared between threads."""

    def __init__(self, address: str, *, actor: str = "", client_id: str = "") -> None:
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._service = config_service_pb2_grpc.ConfigServiceStub(self._channel)
        self._metadata = (("confwatch-actor", urllib.parse.quote(actor)),) if actor else ()
        self._client_id = client_id

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> ConfwatchClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, target: Target) -> Document:
        request = config_service_pb2.GetRequest(**dataclasses.asdict(target))
        return Document.read(self._call(self._service.Get, request).document)

    def set(
        self, target: Target, values: dict[str, Any], *, expected_version: int | None = None, reason: str = ""
    ) -> config_service_pb2.SetResponse:
        """Sets single values by path, such as {"schedule.day": "thursday"}."""
        texts = {path: json.dumps(value) for path, value in values.items()}
        change = commit_pb2.Change(**dataclasses.asdict(target), assign=commit_pb2.Assignments(values=texts))
        return self._set(change, expected_version, reason)

    def replace(
        self, target: Target, document: Any, *, expected_version: int | None = None, reason: str = ""
    ) -> config_service_pb2.SetResponse:
        """Replaces the whole layer of the target's scope."""
        text = document_pb2.Text(content=json.dumps(document), format=document_pb2.FORMAT_JSON)
        change = commit_pb2.Change(**dataclasses.asdict(target), replace=text)
        return self._set(change, expected_version, reason)

    def validate(
        self, target: Target, text: str, format: document_pb2.Format = document_pb2.FORMAT_JSON
    ) -> document_pb2.ValidationReport:
        """What replacing the layer by this text would meet with. Nothing is written."""
        change = commit_pb2.Change(
            **dataclasses.asdict(target), replace=document_pb2.Text(content=text, format=format)
        )
        return self._call(self._service.Validate, config_service_pb2.ValidateRequest(changes=[change])).report

    def rollback(
        self, namespace: str, config: str, version: int, *, reason: str = ""
    ) -> config_service_pb2.RollbackResponse:
        """Makes a new version whose layers equal those of an older one."""
        request = config_service_pb2.RollbackRequest(
            namespace=namespace, config=config, version=version, options=commit_pb2.WriteOptions(reason=reason)
        )
        return self._call(self._service.Rollback, request)

    def watch(self, *targets: Target) -> Watch:
        """Follows targets through restarts of the server: iterate over it, `close` it from anywhere."""
        return Watch(self._service.Watch, self._metadata, self._client_id, targets)

    def _set(
        self, change: commit_pb2.Change, expected_version: int | None, reason: str
    ) -> config_service_pb2.SetResponse:
        if expected_version is not None:
            change.expected_version = expected_version
        options = commit_pb2.WriteOptions(reason=reason)
        return self._call(self._service.Set, config_service_pb2.SetRequest(change=change, options=options))

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=10, metadata=self._metadata)
        except grpc.RpcError as error:
            raise ConfwatchError(error) from error


class Watch:
    """What a watch holds, and where it left off. Iterating yields a Batch for each thing that happens, for ever.

    No error ends it: it keeps the last documents, says in `error` what is wrong, and asks again. Only a request that the server finds
    malformed, before it ever answered it, is raised as ConfwatchError: that is a mistake of the program.
    """

    PROGRESS_SECONDS = 10

    def __init__(self, method: Any, metadata: Any, client_id: str, targets: tuple[Target, ...]) -> None:
        self._method = method
        self._metadata = metadata
        self._client_id = client_id
        self._targets = targets
        self._closed = threading.Event()
        self._call: Any = None
        self._held: dict[Target, Document] = {}
        self._resume_token = ""
        self._failures = 0
        self._answered = False
        self.error: ConfwatchError | None = None
        """Why there is no stream. None: there is one, or it ended without an error."""

    def close(self) -> None:
        """Ends the iteration, wherever it waits."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    def __iter__(self) -> Iterator[Batch]:
        while not self._closed.is_set():
            call = self._call = self._method(self._request(), metadata=self._metadata)
            if self._closed.is_set():  # `close` may have come before there was this call to cancel.
                call.cancel()
            # A stream that says nothing for three intervals is dead. The time that the caller takes does not count.
            patience = _Patience(3 * self.PROGRESS_SECONDS, call.cancel)
            try:
                yield from self._batches(call, patience)
                wait = self._backoff()
            except grpc.RpcError as rpc_error:
                error = ConfwatchError(rpc_error)
                is_of_server = bool(error.reason)
                if is_of_server and error.code == grpc.StatusCode.INVALID_ARGUMENT and not self._answered:
                    raise error from rpc_error
                self.error = error
                if is_of_server and error.code in SLOW_CODES:
                    log.error("the watch is refused, and asks again slowly: %s", error)
                    wait = random.uniform(SLOW_SECONDS, 2 * SLOW_SECONDS)
                else:
                    wait = self._backoff() if error.retry_seconds is None else error.retry_seconds
            finally:
                patience.end()
                call.cancel()
            self._closed.wait(wait)

    def _batches(self, call: Iterator[watch_pb2.WatchResponse], patience: _Patience) -> Iterator[Batch]:
        states: list[watch_pb2.TargetState] = []
        for response in call:
            patience.renew()
            self._failures, self._answered, self.error = 0, True, None
            event = response.WhichOneof("event")
            if event in ("snapshot", "update"):
                part = getattr(response, event)
                states.extend(part.states)
                if part.more:
                    continue
                # The resume token counts only once what it stands for is held.
                batch = self._take(event == "snapshot", part, states, response.revision)
                states = []
                self._resume_token = response.resume_token
                patience.end()
                yield batch
                patience.renew()
            elif response.resume_token:
                self._resume_token = response.resume_token

    def _take(self, snapshot: bool, last: Any, states: list[watch_pb2.TargetState], revision: int) -> Batch:
        """Folds all parts of one snapshot or update into what is held."""
        before = self._held
        # A snapshot names every target: what it does not name is gone.
        held = {} if snapshot else dict(before)
        for state in states:
            target = Target(state.target.namespace, state.target.config, state.target.scope)
            if state.state == watch_pb2.STATE_CURRENT and target in before:
                held[target] = before[target]
            elif state.state == watch_pb2.STATE_PRESENT:
                held[target] = Document.read(state.document)
            elif state.state == watch_pb2.STATE_ABSENT:
                held.pop(target, None)
        self._held = held
        # After a reset everything is sent: what has the digest it had did not change.
        was, now = ({target: document.digest for target, document in side.items()} for side in (before, held))
        changed = {target for target, _ in was.items() ^ now.items()}
        reset = snapshot and last.is_reset
        return Batch(revision, dict(held), frozenset(changed), snapshot, reset)

    def _request(self) -> watch_pb2.WatchRequest:
        request = watch_pb2.WatchRequest(client_id=self._client_id, resume_token=self._resume_token)
        request.progress_interval.FromSeconds(self.PROGRESS_SECONDS)
        for target in self._targets:
            wanted = request.targets.add(**dataclasses.asdict(target))
            for held, document in self._held.items():
                if target.config == "*" and (held.namespace, held.scope) == (target.namespace, target.scope):
                    wanted.held[held.config] = document.digest
                elif held == target:
                    wanted.if_none_match = document.digest
        return request

    def _backoff(self) -> float:
        """At once, then 100 ms to 10 s, with jitter so that a fleet does not come back as one."""
        self._failures += 1
        if self._failures == 1:
            return 0.0
        ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_MIN_SECONDS * 2 ** min(self._failures - 2, 10))
        return random.uniform(ceiling / 2, ceiling)


class _Patience:
    """Calls `over` unless it is renewed in time."""

    def __init__(self, seconds: float, over: Callable[[], Any]) -> None:
        self._seconds = seconds
        self._over = over
        self._timer: threading.Timer | None = None
        self.renew()

    def renew(self) -> None:
        self.end()
        self._timer = threading.Timer(self._seconds, self._over)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
