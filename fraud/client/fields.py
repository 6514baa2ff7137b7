"""Makes messages of fields, and names the field where one does not fit.

    fields ─▶ message
      └ refused ─▶ each field by itself ─▶ the first that is unknown or of the wrong type: InvalidInput

Protobuf says "bad argument type for built-in operation" and not of which. What fits costs no look. A value
of a map may be a token, so its type alone is told.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from fraud.errors import InvalidInput

Made = TypeVar("Made", bound=Message)
_REFUSALS = (TypeError, ValueError, OverflowError)
_SHOWN_MAX = 40
_WHOLE, _NUMBER, _TEXT = "a whole number of 64 bits (int)", "a number (float)", "text (str)"
_WANTED = {
    FieldDescriptor.TYPE_INT64: _WHOLE,
    FieldDescriptor.TYPE_INT32: "a whole number of 32 bits (int)",
    FieldDescriptor.TYPE_DOUBLE: _NUMBER,
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_BOOL: "True or False",
}


def filled(kind: type[Made], fields: Mapping[str, Any], place: str = "") -> Made:
    """Return a message of a kind; `place` is where it stands in what is sent, like `labels[3]`.

    Raises:
        InvalidInput: a field is unknown or of the wrong type; the message names it.
    """
    try:
        return kind(**fields)
    except _REFUSALS as error:
        raise _fault(kind, fields, place, error) from None


def _fault(kind: type[Message], fields: object, place: str, error: Exception) -> InvalidInput:
    known, what = kind.DESCRIPTOR.fields_by_name, kind.DESCRIPTOR.name
    if not isinstance(fields, Mapping):
        return InvalidInput(
            place or what, f"is {_kind_of(fields)}", f"give a {what} or a mapping of its fields"
        )
    for name, value in fields.items():
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            return InvalidInput(
                _within(place, str(name)), f"is no field of {what}", f"{hint}fields: {', '.join(known)}"
            )
        try:
            kind(**{name: value})
        except _REFUSALS as refused:
            return _wrong(kind, cast("FieldDescriptor", known[name]), value, place, refused)
    return InvalidInput(place or what, str(error), f"give a {what} or a mapping of its fields")


def _wrong(
    kind: type[Message], field: FieldDescriptor, value: object, place: str, refused: Exception
) -> InvalidInput:
    name = _within(place, field.name)
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return InvalidInput(name, _given(value), f"give {_wanted(field, refused)}")
    wanted = _wanted(entry.fields_by_name["value"], refused)
    if not isinstance(value, Mapping):
        return InvalidInput(name, f"is {_kind_of(value)}", f"give a mapping of names to {wanted}")
    for key, each in value.items():
        if not isinstance(key, str):
            return InvalidInput(
                name, f"has a name that is {_kind_of(key)}", f"give a mapping of names to {wanted}"
            )
        try:
            kind(**{field.name: {key: each}})
        except _REFUSALS:
            return InvalidInput(f"{name}.{key}", f"is {_kind_of(each)}", f"give {wanted}", place=name)
    return InvalidInput(name, str(refused), f"give a mapping of names to {wanted}")


def _wanted(field: FieldDescriptor, refused: Exception) -> str:
    if isinstance(refused, UnicodeError):
        return "text that is Unicode"
    if field.enum_type is not None:
        return f"one of: {', '.join(field.enum_type.values_by_name)}"
    return _WANTED.get(field.type, "what its message says, see proto/fraud/v1")


def _given(value: object) -> str:
    shown = repr(value)
    return f"{shown if len(shown) <= _SHOWN_MAX else shown[:_SHOWN_MAX] + '…'} is {_kind_of(value)}"


def _kind_of(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def wrong_kind(value: object, kind: type, place: str) -> InvalidInput:
    """Return the error for what lacks the attributes of a kind, like a mapping of its fields."""
    return InvalidInput(place, f"is {_kind_of(value)}", f"give a {kind.__module__}.{kind.__qualname__}")


def chosen(field: str, value: object, allowed: Sequence[str], beside: str = "") -> None:
    """Refuse a value that is none of those allowed; `beside` is what else may be given.

    Raises:
        InvalidInput: it is another one; the message names the field and those allowed.
    """
    if value not in allowed:
        raise InvalidInput(field, f"{value!r} is no outcome", f"give one of: {', '.join(allowed)}{beside}")
