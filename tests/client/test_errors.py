"""What fails at the server fails at the client by its own class, with the message that was sent."""

from typing import Any

import grpc
import pytest

from fraud import errors
from fraud.client.connection import _error
from fraud.errors import Damaged, FraudError, InvalidInput, LimitExceeded, OtherFormat
from fraud.serving.convert import STATUS, answer_of

KINDS = sorted(STATUS.keys() - {FraudError}, key=lambda kind: kind.code)
MADE: dict[type[FraudError], FraudError] = {
    kind: kind("model", "'kard' is not hosted here", "send one of: card")
    if issubclass(kind, InvalidInput)
    else kind("card-9 is not there; see 'fraud versions'")
    for kind in KINDS
    if kind is not OtherFormat
} | {OtherFormat: OtherFormat("data/events.db", "event log", 9, 4)}


class Failed(grpc.RpcError):
    """A call that ended as the edge ends it."""

    def __init__(self, error: FraudError) -> None:
        self._error = error

    def code(self) -> grpc.StatusCode:
        return STATUS[type(self._error)]

    def details(self) -> str:
        return f"{answer_of(self._error)} [{self._error.code}]"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_as_its_own_class_with_its_message(kind: type[FraudError]) -> None:
    found: Any = _error(Failed(MADE[kind]), "127.0.0.1:1")
    assert type(found) is (Damaged if kind is OtherFormat else kind)
    assert str(found) == str(MADE[kind])
    if isinstance(found, InvalidInput):
        assert (found.field, found.remedy) == ("model", "send one of: card")


def test_every_class_of_the_tree_is_looked_at() -> None:
    declared = {it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, FraudError)}
    assert declared - {FraudError} == set(KINDS)
    assert {LimitExceeded, OtherFormat} <= declared


@pytest.mark.parametrize("code", ["", "NEWER", "ERROR"])
def test_what_this_release_does_not_know_is_unavailable_and_says_all_that_was_sent(code: str) -> None:
    class Newer(Failed):
        def details(self) -> str:
            return f"not what you think [{code}]"

    found = _error(Newer(FraudError("")), "127.0.0.1:1")
    assert type(found) is errors.Unavailable
    assert str(found) == f"127.0.0.1:1: INTERNAL: not what you think [{code}]"
