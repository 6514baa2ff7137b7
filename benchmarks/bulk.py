"""`ScoreBatch` rows a second, and what an entity costs the server in memory."""

import time
from collections import deque
from collections.abc import Iterable

import grpc

from benchmarks.fixture import score_batches
from benchmarks.processes import Server
from fraud.v1 import scoring_pb2 as pb

BATCH_ROWS = 1_000
IN_FLIGHT = 4
_DEADLINE_S = 60.0


def rows_per_second(address: str, batches: int) -> float:
    """Send batches of payments, four in flight; return rows answered a second."""
    send(address, score_batches(2, BATCH_ROWS, seed=11))
    requests = score_batches(batches, BATCH_ROWS)
    started = time.perf_counter()
    send(address, requests)
    return batches * BATCH_ROWS / (time.perf_counter() - started)


def bytes_per_entity(server: Server, rows: int) -> float:
    """Send `rows` payments of new entities only; return the growth of resident memory for each."""
    send(server.address, score_batches(4, BATCH_ROWS, seed=13))
    before = server.memory_bytes()
    entities = 0
    for start in range(0, rows, BATCH_ROWS):
        (request,) = score_batches(1, min(BATCH_ROWS, rows - start))
        for i, transaction in enumerate(request.transactions):
            for entity in transaction.entities:
                transaction.entities[entity] = f"new_{entity[0]}{start + i:08d}"
                entities += 1
        send(server.address, [request])
    return (server.memory_bytes() - before) / entities


def send(address: str, requests: Iterable[pb.ScoreBatchRequest]) -> None:
    """Send batches, a few in flight, and check that every row was scored.

    Raises:
        RuntimeError: a row was answered with an error.
    """
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_unary(
            "/fraud.v1.ScoringService/ScoreBatch",
            request_serializer=pb.ScoreBatchRequest.SerializeToString,
            response_deserializer=pb.ScoreBatchResponse.FromString,
        )
        waiting: deque[grpc.Future[pb.ScoreBatchResponse]] = deque()
        for request in requests:
            waiting.append(call.future(request, timeout=_DEADLINE_S))
            if len(waiting) >= IN_FLIGHT:
                _take(waiting.popleft())
        while waiting:
            _take(waiting.popleft())


def _take(answer: "grpc.Future[pb.ScoreBatchResponse]") -> None:
    for result in answer.result().results:
        if result.HasField("error"):
            raise RuntimeError(f"ScoreBatch refused a row: {result.error}")
