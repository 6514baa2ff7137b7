"""The scoring process in a thread of the tests: real stores, real gRPC, its state within reach.

Calls go over the wire as bytes, so a request may be anything; between two calls nothing
moves, so that what a refused one left behind can be seen.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from fraud.serving.recovery import restore
from fraud.serving.server import ScoringProcess
from fraud.settings import Settings
from tests.serving.worlds import START_S, settings_in


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended; `body` is the reply's bytes where it went well."""

    code: grpc.StatusCode
    details: str
    body: bytes = b""


class Service:
    """A service that runs, seen from outside (`call`) and from inside (`fingerprint`)."""

    def __init__(self, process: ScoringProcess, port: int) -> None:
        self.process = process
        self.target = f"127.0.0.1:{port}"
        self._channel = grpc.insecure_channel(self.target, options=[("grpc.max_receive_message_length", -1)])

    def call(
        self,
        method: str,
        body: bytes,
        compression: grpc.Compression = grpc.Compression.NoCompression,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> Reply:
        """Send bytes to a method, like `/fraud.v1.ScoringService/Score`."""
        send: Any = self._channel.unary_unary(method)
        try:
            return Reply(
                grpc.StatusCode.OK,
                "",
                send(body, timeout=START_S, compression=compression, metadata=metadata),
            )
        except grpc.RpcError as error:
            return Reply(error.code(), error.details() or "")

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what a refused request must leave as it was."""
        state = self.process.scorer.state
        assert state is not None
        fold = state.fold
        return (
            self.process.log.head(),
            self.process.registry.store.head(),
            fold.position,
            fold.state.marks.tobytes(),
            len(fold.book.facts),
            len(fold.waiting),
            dict(state.lists.counts),
        )

    def is_as_logged(self) -> bool:
        """Tell whether the state is what the log alone folds to."""
        process = self.process
        again = restore(
            process.spec,
            process.scorer.state.fold.rule,  # type: ignore[union-attr]
            process.log,
            process.archive,
            process.snapshots,
            _spending(process.settings),
        )
        return process.scorer.state is not None and again.fold.equals(process.scorer.state.fold)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


def _spending(settings: Settings) -> Any:
    from fraud.policy.spending import Spending

    return Spending.of(settings)


@contextmanager
def in_thread(folder: Path, **environment: str) -> Iterator[Service]:
    """Run a service for the body of a `with`."""
    settings = settings_in(folder, **environment)
    ready, stop = threading.Event(), threading.Event()
    held: list[Any] = []

    async def run() -> None:
        process = ScoringProcess(settings)
        process.scorer.recover()
        process.follower.start()
        process.batcher.start(asyncio.get_running_loop())
        server = process.build_server()
        port = process.entrance.bind(server)
        await server.start()
        held.extend((process, port))
        ready.set()
        await asyncio.get_running_loop().run_in_executor(None, stop.wait)
        await server.stop(1.0)
        await process.batcher.close()
        process.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="service")
    thread.start()
    try:
        assert ready.wait(START_S), "the service did not start"
        service = Service(*held)
        try:
            yield service
        finally:
            service.close()
    finally:
        stop.set()
        thread.join(START_S)
