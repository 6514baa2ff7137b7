"""Cuts the labels of a batch into the parts that are sent.

    labels → rows_max rows or as many bytes as a call holds, whichever comes first → part 0, 1, 2, …

A part is taken once by its number and digest, so the same labels must give the same parts however
often they are pushed: the cut depends on the labels and on two settings, on nothing else.
"""

from collections.abc import Sequence
from typing import Final

from fraud.errors import LimitExceeded
from fraud.records import Label

HEAD_BYTES_MAX: Final = 2**11
"""What a call holds beside its labels: ids of at most 128 characters, a source, a number."""


def parts_of(labels: Sequence[Label], rows_max: int, message_bytes_max: int) -> list[Sequence[Label]]:
    """Return labels, one or more, in their order, in parts that one call of so many bytes may hold.

    Raises:
        LimitExceeded: a label alone is larger than that.
    """
    bytes_max = message_bytes_max - HEAD_BYTES_MAX
    parts: list[Sequence[Label]] = []
    start = held = 0
    for at, label in enumerate(labels):
        size = row_bytes(label)
        if size > bytes_max:
            raise LimitExceeded(
                f"label {at + 1}",
                f"takes {size} bytes",
                f"shorten its comment: a call holds {bytes_max} bytes of labels (server.message_bytes_max)",
            )
        if at - start == rows_max or held + size > bytes_max:
            parts.append(labels[start:at])
            start, held = at, 0
        held += size
    parts.append(labels[start:])
    return parts


def row_bytes(label: Label) -> int:
    """Return how many bytes a label takes among the rows of a call."""
    from fraud.client.labels import label_to_wire

    size = label_to_wire(label).ByteSize()
    # Before it stand a tag of one byte and its length, seven bits a byte.
    return 1 + -(-size.bit_length() // 7) + size
