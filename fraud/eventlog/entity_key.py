"""What is stored for a token: the token, or where a key is given its keyed hash.

    token ─► HMAC-SHA-256(key, entity ␟ token), its first 16 bytes as hex ─► dictionary, log, lists

One function for whatever takes a token in, so that people go on typing the token
they know. Without the key nobody finds out whose hash it is, however short the list of
possible tokens; with another key every entity is a new one, so the log remembers
which key it was filled under, by a fingerprint that says nothing about the key.
"""

import hashlib
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from fraud.errors import ConfigError
from fraud.settings import Settings

BYTES_MIN, BYTES_MAX = 32, 64
"""Of the key: fewer could be tried out, more would be hashed before they are used."""
STORED_BYTES: Final = 16
"""Of the hash: by 2^64 entities two of them would be taken for one."""
_BLOCK = 64
_SEPARATOR = b"\x1f"
_KEY = re.compile(rf"(?:[0-9a-fA-F]{{2}}){{{BYTES_MIN},{BYTES_MAX}}}")
_FINGERPRINT_OF = b"fingerprint of an entity key"


class EntityKey:
    """Turns tokens into what is stored; the same for the same key, for ever."""

    def __init__(self, key: bytes = b"") -> None:
        """Use a key of 32 to 64 bytes, or none: then tokens are stored as they are."""
        assert not key or BYTES_MIN <= len(key) <= BYTES_MAX
        block = key.ljust(_BLOCK, b"\0")
        # RFC 2104, by hand: the state behind the key is computed once, and copied for each token.
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self.fingerprint = self._digest(_FINGERPRINT_OF)[:8].hex() if key else ""
        """Names the key and says nothing about it; "" without one."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the key that the settings name, if any.

        Raises:
            ConfigError: the file is missing, holds no key, or is open to others.
        """
        path = settings.service.entity_key_file
        return cls() if path is None else cls(_read(path))

    def stored(self, entity: str, token: str) -> str:
        """Return what is stored for a token of an entity of the schema.

        >>> EntityKey().stored("card", "tok_8f2c")
        'tok_8f2c'
        >>> EntityKey(bytes(32)).stored("card", "tok_8f2c")
        'f6f49559c487294afa57b7026f18eaeb'
        """
        if not self.fingerprint:
            return token
        return self._digest(entity.encode() + _SEPARATOR + token.encode())[:STORED_BYTES].hex()

    def _digest(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


Stored = Callable[[str, str], str]
"""As `EntityKey.stored`."""


def _read(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"service.entity_key_file: {path}: {error.strerror}; put the key of this data back"
        ) from None
    except UnicodeDecodeError:
        text = ""
    if mode & 0o037:
        raise ConfigError(
            f"service.entity_key_file: {path} is open to others (mode {mode:04o}); chmod 600 {path}"
        )
    if not _KEY.fullmatch(text):
        raise ConfigError(
            f"service.entity_key_file: {path} holds no key of {BYTES_MIN} to {BYTES_MAX} bytes in hex; "
            f"make one with 'openssl rand -hex {BYTES_MIN}'"
        )
    return bytes.fromhex(text)
