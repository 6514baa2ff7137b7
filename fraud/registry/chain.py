"""The entries of the ledger and the hash that chains each to the one before."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from fraud.errors import InvalidInput

GENESIS_HASH = "0" * 64
"""Stands before the first entry."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of the ledger; `body` is JSON and is never changed."""

    seq: int
    time_us: int
    kind: str
    actor: str
    reason: str
    body: dict[str, Any]
    previous_hash: str
    hash: str


def canonical_json(value: Any) -> str:
    """Return the one spelling of a JSON value: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [0.5]})
    '{"a":[0.5],"b":1}'

    Raises:
        InvalidInput: it holds something JSON has no word for (NaN, bytes, an array).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            "body", str(error), "give plain JSON values; write null where a number is missing"
        ) from error


def entry_hash(
    seq: int, time_us: int, kind: str, actor: str, reason: str, body_json: str, previous_hash: str
) -> str:
    """Return SHA-256 in hex over the canonical JSON of everything but the hash itself."""
    # The body goes in as its stored text: a byte changed on disk changes the hash even
    # where JSON would read the same.
    text = canonical_json([seq, time_us, kind, actor, reason, body_json, previous_hash])
    return hashlib.sha256(text.encode()).hexdigest()
