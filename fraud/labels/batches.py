"""A label batch as submitted: its digest, and which of its rows can be kept.

Rows are judged one by one; a wrong row is refused by name and the others stay.
The same transaction may come several times in one batch: rows are facts in the
order given, so the conflict rule reads a second one as the source changing its
mind (the later label time stands, at equal times the later row). Refusing it
would throw away corrections, and a doubled file is the guard's to see.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from fraud.clock import EARLIEST_US, LATEST_US, microseconds_wanted
from fraud.records import Label, LabelValue

IMPORTER = "import"
"""Submitter of labels that came with a history, and of no others: it stands for whoever gave them then."""
ID_LENGTH_MAX = 128
COMMENT_LENGTH_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RefusedLabel:
    """A row that was not kept: its place in the batch, from 0, the field, and why."""

    index: int
    transaction_id: str
    field: str
    reason: str


def digest_of(source: str, submitter: str, labels: Sequence[Label]) -> str:
    """Return SHA-256 in hex over a batch part as submitted; the order of rows counts.

    Every text is prefixed by its length in bytes, so no two batches spell the same.
    """
    parts = [_framed(source), _framed(submitter)]
    for label in labels:
        parts.append(_framed(label.transaction_id))
        parts.append(f"{int(label.value)} {label.label_time_us} ".encode())
        parts.append(_framed(label.comment))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _framed(text: str) -> bytes:
    encoded = text.encode()
    return b"%d:%b" % (len(encoded), encoded)


def check_labels(labels: Sequence[Label], latest_us: int) -> tuple[list[Label], list[RefusedLabel]]:
    """Return the rows that can be kept, in order, and those that cannot.

    `latest_us` is the newest label time that is believed, microseconds UTC; the oldest is `EARLIEST_US`.
    """
    accepted: list[Label] = []
    refused: list[RefusedLabel] = []
    for index, label in enumerate(labels):
        problem = _problem(label, latest_us)
        if problem is None:
            accepted.append(label)
        else:
            refused.append(RefusedLabel(index, label.transaction_id[:ID_LENGTH_MAX], *problem))
    return accepted, refused


def _problem(label: Label, latest_us: int) -> tuple[str, str] | None:
    if not 0 < len(label.transaction_id) <= ID_LENGTH_MAX:
        return "transaction_id", f"has {len(label.transaction_id)} characters; send 1 to {ID_LENGTH_MAX}"
    if label.value not in (LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN):
        return "value", "is no verdict; send one of: FRAUD, LEGITIMATE, WITHDRAWN"
    wanted = microseconds_wanted(label.label_time_us)
    if label.label_time_us < EARLIEST_US:
        return "label_time_us", f"{label.label_time_us} is before 2000; {wanted}"
    if label.label_time_us > latest_us:
        ahead_s = (label.label_time_us - latest_us) / 1e6
        if label.label_time_us <= LATEST_US:  # a time of this century, so the unit is right
            wanted = "send it after its time, under another batch id: the same id counts once"
        return "label_time_us", f"lies {ahead_s:.0f} s too far in the future; {wanted}"
    if len(label.comment) > COMMENT_LENGTH_MAX:
        return "comment", f"has {len(label.comment)} characters; send at most {COMMENT_LENGTH_MAX}"
    return None
