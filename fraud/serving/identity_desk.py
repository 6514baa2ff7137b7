"""Changes the file of identities: add, rotate, expire, revoke. Whoever may write the file may do it.

lock beside the file → read → one change → new file, synced → renamed over the old one
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fraud.clock import LATEST_US
from fraud.durable import sync
from fraud.errors import Conflict, InvalidInput, NotAllowedNow, NotFound
from fraud.serving.credentials import (
    Credential,
    check_subject,
    digest_of,
    new_secret,
    read_credentials,
    spelled,
    token_of,
)
from fraud.serving.roles import RAW_SCORES, RIGHTS
from fraud.settings.access import check_identity_name


class IdentityDesk:
    """The file of identities, to be changed. Safe to use from several processes."""

    def __init__(self, path: Path, *, made_by: str) -> None:
        self._path = path
        self._made_by = made_by

    def credentials(self) -> tuple[Credential, ...]:
        """Return what stands in the file, oldest first; nothing when there is none.

        Raises:
            ConfigError: it is no file of identities.
        """
        try:
            return read_credentials(self._path.read_bytes(), str(self._path))
        except FileNotFoundError:
            return ()

    def add(
        self, name: str, rights: Sequence[str], *, subject: str = "", now_us: int, expires_us: int
    ) -> tuple[Credential, str]:
        """Give an identity a new credential; return it with the token, which is kept nowhere.

        With a `subject` it is a certificate that lets the identity in, and there is no token.

        Raises:
            InvalidInput: name, rights, subject or end are not as they should be.
            Conflict: the subject lets somebody in already.
        """
        _check(name, rights, subject, now_us, expires_us)
        id_, secret = new_secret()
        digest = "" if subject else digest_of(secret)
        made = Credential(id_, name, tuple(rights), digest, subject, now_us, self._made_by, expires_us)
        with self._changing() as rows:
            taken = [
                it for it in rows if subject and it.subject == subject and it.standing(now_us) == "valid"
            ]
            if taken:
                raise Conflict(
                    f"{subject} lets {taken[0].name} in already; run 'fraud token revoke {taken[0].id}' first"
                )
            rows.append(made)
        return made, "" if subject else token_of(id_, secret)

    def rotate(self, which: str, *, now_us: int, expires_us: int, grace_us: int) -> tuple[Credential, str]:
        """Make a new token with the rights of an old one, which ends after the grace; return the new one.

        `which` is the id of a credential, or the name of an identity with one valid token.

        Raises:
            NotFound: there is no such credential.
            NotAllowedNow: it is not valid any more, is a certificate, or several would fit.
        """
        id_, secret = new_secret()
        with self._changing() as rows:
            old = _one_token(rows, which, now_us)
            _check(old.name, old.rights, "", now_us, expires_us)
            end_us = now_us + grace_us
            ends_us = min(end_us, old.expires_us) if old.expires_us else end_us
            rows[rows.index(old)] = replace(old, expires_us=ends_us)
            new = Credential(
                id_, old.name, old.rights, digest_of(secret), "", now_us, self._made_by, expires_us
            )
            rows.append(new)
        return new, token_of(id_, secret)

    def expire(self, id_: str, *, now_us: int, expires_us: int) -> Credential:
        """Let a credential end at another moment, µs UTC; 0: never. What is revoked stays so.

        Raises:
            NotFound: there is no such credential.
            NotAllowedNow: it was revoked.
            InvalidInput: the moment has passed; revoking is for that.
        """
        if expires_us and expires_us <= now_us:
            raise InvalidInput("expires", "lies in the past", f"use 'fraud token revoke {id_}' to end it now")
        _check_end(expires_us)

        def later(old: Credential) -> Credential:
            if old.revoked_us:
                raise NotAllowedNow(f"credential {id_} was revoked; 'fraud token add' makes another")
            return replace(old, expires_us=expires_us)

        return self._change(id_, later)

    def revoke(self, id_: str, *, now_us: int) -> Credential:
        """End a credential at once; again is a no-op.

        Raises:
            NotFound: there is no such credential.
        """
        return self._change(id_, lambda old: old if old.revoked_us else replace(old, revoked_us=now_us))

    def _change(self, id_: str, change: Callable[[Credential], Credential]) -> Credential:
        with self._changing() as rows:
            for i, row in enumerate(rows):
                if row.id == id_:
                    rows[i] = change(row)
                    return rows[i]
            raise NotFound(f"no credential {id_!r}; 'fraud token list' shows those there are")

    @contextmanager
    def _changing(self) -> Iterator[list[Credential]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f".{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rows = list(self.credentials())
            yield rows
            self._write(spelled(rows))

    def _write(self, text: str) -> None:
        fresh = self._path.with_name(f".{self._path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if self._path.exists():
                # A server under another user or group goes on being able to read it.
                former = self._path.stat()
                os.fchmod(file.fileno(), former.st_mode & 0o640)
                if (former.st_uid, former.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), former.st_uid, former.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        # Or a power cut might bring back who was revoked.
        sync(self._path.parent)


def _one_token(rows: Sequence[Credential], which: str, now_us: int) -> Credential:
    fitting = [it for it in rows if which in (it.id, it.name)]
    if not fitting:
        raise NotFound(f"no identity or credential {which!r}; 'fraud token list' shows those there are")
    valid = [it for it in fitting if it.digest and it.standing(now_us) == "valid"]
    if len(valid) != 1:
        ids = ", ".join(it.id for it in valid)
        raise NotAllowedNow(
            f"{which} has several valid tokens ({ids}); name one by its id"
            if valid
            else f"{which} has no valid token to rotate; '{fitting[-1].another()}' makes another way in"
        )
    return valid[0]


def _check(name: str, rights: Sequence[str], subject: str, now_us: int, expires_us: int) -> None:
    try:
        check_identity_name(name)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise InvalidInput("name", problem, remedy) from None
    unknown = [it for it in rights if it not in RIGHTS]
    if unknown or not set(rights) - {RAW_SCORES}:
        problem = f"{unknown[0]!r} is none" if unknown else "is not given"
        raise InvalidInput("role", problem, f"give one or more of {', '.join(RIGHTS)}")
    if subject:
        try:
            check_subject(subject)
        except ValueError as error:
            problem, _, remedy = str(error).partition("; ")
            raise InvalidInput("certificate", problem, remedy) from None
    if expires_us and expires_us <= now_us:
        raise InvalidInput("expires", "lies in the past", "give a span or a moment to come, or never")
    _check_end(expires_us)


def _check_end(expires_us: int) -> None:
    if expires_us > LATEST_US:
        raise InvalidInput("expires", "lies after 2099", "give an earlier moment, or never")
