"""Manifests of many versions, kept small: what they say alike of a batch of labels is kept once.

    label_batches of a manifest ─▶ which batch (by number), and how many labels and frauds of it taught
    batch_id, digest, … ─▶ `Batches`, shared by all manifests of a ledger; it only grows

A year of retrains names the same batches in version after version, each with a digest that does
not compress.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from fraud.documents import Packed, read_json

_ROWS: Final = "label_batches"
_COUNTS: Final = ("labels", "frauds")
"""What differs from manifest to manifest; the other fields are those of the batch."""
_NUMBER = np.dtype("<i8")


@dataclass(slots=True)
class Batches:
    """What manifests say of batches of labels, each once. One thread adds, others may read meanwhile."""

    _texts: list[bytes] = field(default_factory=list)
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, batch: dict[str, Any]) -> int:
        """Return the number of a batch, a new one where nobody has named it like this."""
        text = json.dumps(batch, ensure_ascii=False, separators=(",", ":")).encode()
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def batch(self, number: int) -> dict[str, Any]:
        """Return a batch by its number, the caller's own."""
        batch: dict[str, Any] = read_json(self._texts[number])
        return batch


@dataclass(frozen=True, slots=True)
class PackedManifest:
    """One manifest; decoded anew at every look."""

    _rest: Packed
    _rows: bytes
    """int64[3, n], compressed: numbers of batches, `_COUNTS`."""
    _batches: Batches

    @classmethod
    def of(cls, manifest: dict[str, Any], batches: Batches) -> Self:
        """Pack a manifest, adding to `batches` what it alone says.

        Raises:
            TypeError, ValueError: JSON does not spell it.
        """
        rows = manifest.get(_ROWS, [])
        if not rows or not all(_is_counted(row) for row in rows):
            return cls(Packed.of(manifest), b"", batches)
        numbers = [
            batches.number({name: value for name, value in row.items() if name not in _COUNTS})
            for row in rows
        ]
        columns = [numbers, *([row[name] for row in rows] for name in _COUNTS)]
        # Batches follow each other, so their numbers' differences are what compresses.
        matrix = np.diff(np.array(columns, _NUMBER).reshape(len(columns), -1), axis=1, prepend=0)
        return cls(Packed.of(manifest | {_ROWS: []}), zlib.compress(matrix.tobytes()), batches)

    def value(self) -> dict[str, Any]:
        """Return the manifest, the caller's own."""
        manifest: dict[str, Any] = self._rest.value()
        if self._rows:
            packed = np.frombuffer(zlib.decompress(self._rows), _NUMBER)
            matrix = np.cumsum(packed.reshape(1 + len(_COUNTS), -1), axis=1)
            manifest[_ROWS] = [self._row(*row) for row in zip(*matrix.tolist(), strict=True)]
        return manifest

    def _row(self, number: int, *counts: int) -> dict[str, Any]:
        return self._batches.batch(number) | dict(zip(_COUNTS, counts, strict=True))


def _is_counted(row: dict[str, Any]) -> bool:
    return all(isinstance(row.get(name), int) for name in _COUNTS)
