"""What would be done twice by a second arrival is sent once; everything else is tried again."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from fraud.client import Client
from fraud.errors import Unavailable
from fraud.v1.models_pb2 import Selection

RETRIES = 3
SIGNED: dict[str, Any] = {"actor": "ann", "reason": "a test"}


@dataclass
class Restoring(grpc.GenericRpcHandler):
    """A service that is not ready for anything, and how often each method was called."""

    target: str = ""
    arrived: Counter[str] = field(default_factory=Counter)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        self.arrived[handler_call_details.method.rpartition("/")[2]] += 1
        return grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAVAILABLE, "it restores [UNAVAILABLE]")
        )


@pytest.fixture
def restoring() -> Iterator[Restoring]:
    made = Restoring()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[made])
    made.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(None).wait()


CALLS: dict[str, tuple[int, Callable[[Client], object]]] = {
    "TriggerRetrain": (1, lambda client: client.trigger_retrain("card", "a test", "ann")),
    "Promote": (1, lambda client: client.promote("card-2", **SIGNED)),
    "Rollback": (1, lambda client: client.rollback("card", version="card-1", **SIGNED)),
    "ExcludeData": (1, lambda client: client.exclude(Selection(batch_id="b"), **SIGNED)),
    "UndoExclusion": (1, lambda client: client.undo_exclusion(7, **SIGNED)),
    "SetListing": (1, lambda client: client.set_listing("block", "card", "tok", **SIGNED)),
    "SubmitLabels": (1 + RETRIES, lambda client: client.submit_labels("b", 0, "analyst", "ann", [])),
    "GetRetrain": (1 + RETRIES, lambda client: client.get_retrain(7)),
}


@pytest.mark.parametrize("method", CALLS)
def test_a_call_arrives_once_where_each_arrival_is_another_entry_of_the_ledger(
    restoring: Restoring, method: str
) -> None:
    times, call = CALLS[method]
    with (
        Client(restoring.target, deadline_s=30.0, retries=RETRIES) as client,
        pytest.raises(Unavailable, match="it restores"),
    ):
        call(client)
    assert restoring.arrived == {method: times}
