r"""Documents that somebody else may have written: JSON, TOML and plain files, read within bounds.

    file ─ at most so many bytes ─▶ text ─ at most so deep ─▶ values, every text of them spellable in UTF-8

Python's own readers leave two ends open. Brackets nested some thousand deep end in a
RecursionError, which no caller expects of a reader; and JSON may spell half a character
("\ud800"), which fails much later, where the text is written or hashed.
"""

import json
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

DOCUMENT_BYTES_MAX: Final = 16 * 2**20
"""Of a document that people write or look at: configuration, rules, strategies, identities."""


def read_json(text: str | bytes) -> Any:
    """Return the value that a JSON text spells.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or spells half a character.
    """
    try:
        value = json.loads(text)
        if "\\u" in text if isinstance(text, str) else b"\\u" in text:
            # Half a character can only come in escaped; a UnicodeEncodeError is a ValueError.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None
    return value


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is no TOML, or nested too deeply; with the line where that is known.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None


def read_bounded(path: Path, bytes_max: int = DOCUMENT_BYTES_MAX) -> bytes:
    """Return the bytes of a file; no more are ever held, whatever the file is.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `bytes_max`.
    """
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise ValueError(f"it is larger than {bytes_max} bytes")
    return content


@dataclass(frozen=True, slots=True)
class Packed:
    """A JSON value kept as compressed text: about a tenth of what its dicts take, decoded at every look.

    For what is kept long and looked at rarely, by the thousand.

    >>> Packed.of({"b": [1, None]}).value()
    {'b': [1, None]}
    """

    _text: bytes

    @classmethod
    def of(cls, value: Any) -> Self:
        """Pack a JSON value.

        Raises:
            TypeError, ValueError: JSON does not spell it.
        """
        return cls(zlib.compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), 1))

    def value(self) -> Any:
        """Return the value, the caller's own."""
        return json.loads(zlib.decompress(self._text))
