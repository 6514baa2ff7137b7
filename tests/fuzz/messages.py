"""Requests of any method, built from its descriptor: mostly plausible, in places absurd.

descriptor ─ field by field ─▶ a value that the service knows · a hostile one · left out
                                    └─ bytes ─▶ some of them changed, cut or doubled
"""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from fraud.v1 import access_pb2, labels_pb2, models_pb2, policy_pb2, scoring_pb2
from tests.fuzz.mutation import mutated
from tests.serving.worlds import START_US

FILES: Final = (scoring_pb2, labels_pb2, models_pb2, policy_pb2, access_pb2)
METHODS: Final[dict[str, type[Message]]] = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Path of each method of the wire, and the class of its request."""

HOSTILE: Final = (
    "",
    " ",
    "\x00",
    "../../etc/passwd",
    "/etc/passwd",
    "=1+1",
    "<script>alert(1)</script>",
    "²",
    "٣",
    "-1",
    "9" * 40,
    "9" * 5_000,
    "1.²",
    "card-1",
    "card-99999999999999999999",
    "a" * 2_000,
    "'; DROP TABLE events; --",
    "{}",
    "\u202e",
    "\U0010ffff",
)
_TIMES: Final = (0, 1, START_US, START_US + 60_000_000, -1, 2**62, 2**63 - 1, -(2**63))
_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "model": ("card", "transfer"),
    "source": ("chargeback", "analyst", "customer"),
    "currency": ("EUR", "USD"),
    "entity": ("card", "merchant", "device"),
    "list_name": ("block", "allow", ""),
    "stage": ("before", "after", ""),
    "when": (
        "amount > 500",
        "amount > 5 AND channel = 'web'",
        "amount / 0 > 1",
        "NOT " * 300 + "amount > 1",
        "(" * 400 + "amount > 1" + ")" * 400,
        "amount > 1" + " AND amount > 1" * 100,
        "amount > " + "9" * 400,
        "channel LIKE '%" + "%_" * 200 + "'",
    ),
    "version": ("card-1", "card-2"),
    "page_token": ("1", "0.1", ""),
}
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "entities": ("card", "merchant", "device"),
    "numerics": ("distance",),
    "categoricals": ("channel",),
    "where": ("card", "merchant"),
}


def _text(name: str) -> st.SearchStrategy[str]:
    known = _WORDS.get(name, ("a", "case 12", "t1-1", "t1-2"))
    return st.one_of(st.sampled_from(known), st.sampled_from(known), st.sampled_from(HOSTILE), st.text())


def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    near = [it for it in (*_TIMES, 50, 51, 1_000, 1_001) if low <= it <= high]
    return st.one_of(st.sampled_from(near), st.integers(low, high))


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Return values of a field that is no message."""
    kinds: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
        FieldDescriptor.CPPTYPE_STRING: lambda: (
            st.binary(max_size=40) if field.type == FieldDescriptor.TYPE_BYTES else _text(field.name)
        ),
        FieldDescriptor.CPPTYPE_BOOL: st.booleans,
        FieldDescriptor.CPPTYPE_DOUBLE: lambda: st.floats() | st.floats(0, 100),
        FieldDescriptor.CPPTYPE_FLOAT: lambda: st.floats(width=32),
        FieldDescriptor.CPPTYPE_ENUM: lambda: st.integers(0, 7) | st.integers(-(2**31), 2**31 - 1),
        FieldDescriptor.CPPTYPE_INT32: lambda: _integers(-(2**31), 2**31 - 1),
        FieldDescriptor.CPPTYPE_INT64: lambda: _integers(-(2**63), 2**63 - 1),
        FieldDescriptor.CPPTYPE_UINT32: lambda: _integers(0, 2**32 - 1),
        FieldDescriptor.CPPTYPE_UINT64: lambda: _integers(0, 2**64 - 1),
    }
    return kinds[field.cpp_type]()


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Message:
    """Build a request: each field is given, absurd or left out."""
    message = kind()
    _fill(draw, message, kind.DESCRIPTOR)
    return message


def _fill(draw: st.DrawFn, message: Any, descriptor: Any) -> None:
    for field in descriptor.fields:
        if draw(st.integers(0, 9)) == 0:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(draw, getattr(message, field.name), field)
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 3))):
                if field.message_type is not None:
                    _fill(draw, getattr(message, field.name).add(), field.message_type)
                else:
                    getattr(message, field.name).append(draw(scalar(field)))
        elif field.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            _fill(draw, target, field.message_type)
        else:
            setattr(message, field.name, draw(scalar(field)))


def _fill_map(draw: st.DrawFn, target: Any, field: FieldDescriptor) -> None:
    assert field.message_type is not None
    value = field.message_type.fields_by_name["value"]
    for key in _KEYS.get(field.name, ("a",)):
        if draw(st.integers(0, 9)):
            target[key] = draw(scalar(value))
    if draw(st.integers(0, 9)) == 0:
        target[draw(st.sampled_from(HOSTILE))] = draw(scalar(value))


def bodies(kind: type[Message]) -> st.SearchStrategy[bytes]:
    """Return requests as bytes: most as they were built, some changed afterwards, some plain noise."""
    built = messages(kind).map(lambda message: message.SerializeToString())
    return st.one_of(built, built, built, built.flatmap(mutated), st.binary(max_size=200))
