"""Every error this package raises on purpose.

    FraudError
    ├── ConfigError            the configuration is wrong
    ├── InvalidInput           a field of a request or a file is wrong
    │   └── LimitExceeded      it is larger than a configured limit
    ├── NotFound               no such transaction, version, batch
    ├── Conflict               the same id came before with other content
    ├── NotAllowedNow          right request, wrong state (a log that is not empty)
    │   ├── DataFolderLocked   another process owns the data folder
    │   └── StaleHead          somebody else wrote to the ledger in between
    ├── Unauthenticated        the caller did not show who calls, or not convincingly
    ├── PermissionDenied       the caller is known and may not do this
    ├── Overloaded             the queue is full; try again later
    │   ├── RateLimited        this caller asks for more than it may
    │   └── TooLate            the answer would come when nobody waits for it any more
    ├── Unavailable            the scorer is not ready
    │   └── LogUnwritable      the event log cannot be written: disk full or failing
    └── Damaged                stored bytes are not what was written
        └── OtherFormat        they are of a format that this release does not read

A message says what happened, to which object, and what to do. It is for whoever
made the call and may repeat what was sent; logs and ledger keep `told` of an
error, which does not. `code` is stable
and goes into logs and replies; the gRPC status of each stands in
`fraud.serving.convert`, and a test proves that table complete.
"""

from typing import ClassVar, Final

_HEAD, _TAIL = 400, 200
_TEXT_BYTES_MAX: Final = 2_000
"""Of a message: gRPC percent-encodes it into metadata, of which a client takes 8 KiB; logs hold it, too."""


def shortened(text: str) -> str:
    """Return a text, or its beginning and its end where it is too long: what was sent may be of any length.

    >>> len(shortened("x" * 10**6)), shortened("short")
    (605, 'short')
    """
    if len(text) <= _HEAD + _TAIL or len(text.encode(errors="replace")) <= _TEXT_BYTES_MAX:
        return text
    return f"{text[:_HEAD]} […] {text[-_TAIL:]}"


class FraudError(Exception):
    """Root of the tree; `str(error)` is for people, `code` for machines."""

    code: ClassVar[str] = "ERROR"

    @property
    def told(self) -> str:
        """What others than the caller may read of it: ids and names of ours, no value that was sent."""
        return shortened(str(self))


class ConfigError(FraudError):
    """The configuration names something unknown or gives a value out of bounds.

    `field` is the key, where the message is about one.
    """

    code = "CONFIG"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidInput(FraudError):
    """A field of a request or of a file is wrong; nothing of that row was kept.

    `field` and `problem` may quote what was sent. `place` is the field without it,
    where its name is the caller's and not ours.
    """

    code = "INVALID_INPUT"

    def __init__(self, field: str, problem: str, remedy: str, *, place: str = "") -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.place = place or field

    @property
    def told(self) -> str:
        """Where it was and what to do; what was wrong there only the caller is told."""
        return f"{self.place}: refused; {self.remedy}"


class LimitExceeded(InvalidInput):
    """A request is larger than a configured limit; the message names the setting."""

    code = "LIMIT_EXCEEDED"


class NotFound(FraudError):
    """The named object does not exist."""

    code = "NOT_FOUND"


class Conflict(FraudError):
    """The same id was taken before with other content; the first stays."""

    code = "CONFLICT"


class NotAllowedNow(FraudError):
    """The request is well formed but the state does not permit it."""

    code = "NOT_ALLOWED_NOW"


class DataFolderLocked(NotAllowedNow):
    """Another scorer owns the data folder."""

    code = "DATA_FOLDER_LOCKED"


class StaleHead(NotAllowedNow):
    """The ledger moved on between reading and writing; read again and decide again."""

    code = "STALE_HEAD"


class Unauthenticated(FraudError):
    """No token or certificate, or one that is unknown, expired or revoked."""

    code = "UNAUTHENTICATED"


class PermissionDenied(FraudError):
    """The caller's roles do not cover the call."""

    code = "PERMISSION_DENIED"


class Overloaded(FraudError):
    """The queue is full; the caller may try again later."""

    code = "OVERLOADED"


class RateLimited(Overloaded):
    """The caller is over a limit of its own; `wait_us` says when to come again."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, wait_us: int = 0) -> None:
        super().__init__(message)
        self.wait_us = wait_us


class TooLate(Overloaded):
    """The answer would come after the call's deadline, so nothing was done for it."""

    code = "TOO_LATE"


class Unavailable(FraudError):
    """The scorer is not ready: starting, restoring after a failed append, or draining."""

    code = "UNAVAILABLE"


class LogUnwritable(Unavailable):
    """The event log cannot be written, so nothing is decided; ends by itself when it can be again."""

    code = "LOG_UNWRITABLE"


class Damaged(FraudError):
    """Stored bytes are not what was written: a broken chain, digest or snapshot."""

    code = "DAMAGED"


class OtherFormat(Damaged):
    """Something is stored in a format that this release does not read; its bytes may be sound."""

    code = "OTHER_FORMAT"

    def __init__(self, where: str, what: str, found: int, known: int) -> None:
        remedy = (
            "use the release that wrote it or a later one, or restore a copy"
            if found > known
            else "see 'fraud migrate --dry-run'"
        )
        super().__init__(
            f"{where}: has format {found} of the {what}, this release reads format {known}; {remedy}"
        )
        self.found = found
        self.known = known


def told(error: BaseException) -> str:
    """Return what logs and ledger may keep of any error: no value that somebody sent.

    What is not ours may quote anything, so only its class is told.

    >>> told(InvalidInput("currency", "'tok_8f2c' is no ISO 4217 code", "send one like 'EUR'"))
    "currency: refused; send one like 'EUR'"
    >>> told(KeyError("tok_8f2c")), told(FileNotFoundError(2, "No such file or directory", "a.pem"))
    ('KeyError', "[Errno 2] No such file or directory: 'a.pem'")
    """
    if isinstance(error, FraudError):
        return error.told
    # From the system: a reason, and a path of the operator's.
    return str(error) if isinstance(error, OSError) and error.strerror else type(error).__qualname__
