"""What an identity shows, and how it stands in the file of identities: pure.

    token    fraud_<id>_<secret>          secret: 256 random bits; kept is its SHA-256
    subject  cn:shop or san:shop.example  of a client certificate that [server.tls] clients has signed

A secret of 256 random bits cannot be guessed from its digest however fast one
hashes, so the digest is a plain one and a call pays for one hash. An identity
may have several credentials at once: a new token beside an old one that ends.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from fraud.documents import read_json
from fraud.errors import ConfigError
from fraud.serving.roles import RIGHTS
from fraud.settings.access import check_identity_name

LAYOUT: Final = 1
TOKEN_PREFIX: Final = "fraud"
_SUBJECTS: Final = ("cn:", "san:")


@dataclass(frozen=True, slots=True)
class Credential:
    """One way in for an identity: by `digest` of a token, hex, or by `subject` of a certificate.

    `rights` are roles and perhaps "raw_scores". Times are µs UTC; 0: never.
    """

    id: str
    name: str
    rights: tuple[str, ...]
    digest: str
    subject: str
    made_us: int
    made_by: str
    expires_us: int
    revoked_us: int = 0

    def standing(self, now_us: int) -> str:
        """Return "valid", "expired" or "revoked"."""
        if self.revoked_us:
            return "revoked"
        return "expired" if 0 < self.expires_us <= now_us else "valid"

    def another(self) -> str:
        """Return the command that makes another way in, for when this one has ended or is about to."""
        certificate = f" --certificate {self.subject}" if self.subject else ""
        return f"fraud token add {self.name} --role ROLE{certificate}"

    def is_shown_by(self, secret: str) -> bool:
        """Tell whether a secret is this one's, in a time that tells nothing about it."""
        return bool(self.digest) and hmac.compare_digest(digest_of(secret), self.digest)


def last_ends(credentials: Iterable[Credential]) -> dict[str, int]:
    """Return when the last credential of each identity ends, or has ended, µs UTC; 0: never.

    One that was revoked counts no more: an identity that has no other is no longer wanted.
    """
    found: dict[str, list[int]] = {}
    for it in credentials:
        if not it.revoked_us:
            found.setdefault(it.name, []).append(it.expires_us)
    return {name: 0 if 0 in ends else max(ends) for name, ends in found.items()}


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def new_secret() -> tuple[str, str]:
    """Return the id of a new token and its secret; nobody has seen either before."""
    return secrets.token_hex(6), secrets.token_urlsafe(32)


def token_of(id_: str, secret: str) -> str:
    """Return a token as it is shown to the server.

    >>> parts_of(token_of("3f", "s_e-cret"))
    ('3f', 's_e-cret')
    """
    return f"{TOKEN_PREFIX}_{id_}_{secret}"


def parts_of(token: str) -> tuple[str, str]:
    """Return id and secret of a token, ("", "") when it is none."""
    prefix, _, rest = token.partition("_")
    id_, _, secret = rest.partition("_")
    return (id_, secret) if prefix == TOKEN_PREFIX and id_ and secret else ("", "")


def check_subject(subject: str) -> None:
    """Refuse what is no subject.

    Raises:
        ValueError: it names neither the common name nor an alternative name.
    """
    if not any(subject.startswith(kind) and len(subject) > len(kind) for kind in _SUBJECTS):
        raise ValueError(f"{subject!r} is no subject; write it like cn:shop or san:shop.example")


def spelled(credentials: Iterable[Credential]) -> str:
    """Return the file of identities: JSON, a credential a line, so that changes can be read."""
    rows = ",\n".join(f"  {json.dumps(asdict(it), ensure_ascii=False)}" for it in credentials)
    return f'{{"layout": {LAYOUT}, "credentials": [\n{rows}\n]}}\n'


def read_credentials(text: str | bytes, place: str) -> tuple[Credential, ...]:
    """Return the credentials of a file; `place` names it in errors.

    Raises:
        ConfigError: it is not what `spelled` writes, or says something twice.
    """
    try:
        document = read_json(text)
        if document["layout"] != LAYOUT:
            raise ValueError(f"layout {document['layout']!r} is not {LAYOUT}")
        found = tuple(_credential(row) for row in document["credentials"])
        ids = [it.id for it in found]
        if len(set(ids)) < len(ids):
            raise ValueError("an id stands there twice")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{place}: is no file of identities ({type(error).__name__}: {error}); restore it from a copy, "
            "or move it away and write a new one with 'fraud token add'"
        ) from None
    return found


def _credential(row: dict[str, Any]) -> Credential:
    for name in ("id", "name", "digest", "subject", "made_by"):
        if type(row[name]) is not str:
            raise ValueError(f"{name} {row[name]!r} is no text")
    for name in ("made_us", "expires_us", "revoked_us"):
        if type(row[name]) is not int or row[name] < 0:
            raise ValueError(f"{name} {row[name]!r} is no count of microseconds")
    made = Credential(**row | {"rights": tuple(row["rights"])})
    check_identity_name(made.name)
    unknown = set(made.rights) - set(RIGHTS)
    if unknown:
        raise ValueError(f"{made.name}: unknown right {', '.join(sorted(unknown))}")
    if bool(made.digest) == bool(made.subject):
        raise ValueError(f"{made.name}: either digest or subject is wanted")
    if made.digest and (len(made.digest) != 64 or not set(made.digest) <= set("0123456789abcdef")):
        raise ValueError(f"{made.name}: its digest is none")
    if made.subject:
        check_subject(made.subject)
    return made
