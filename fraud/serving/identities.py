"""Who shows this token or certificate: looked up at each call, read again when the file changes.

authorization: Bearer fraud_<id>_<secret> ─► by id ─► digest compared ─► revoked? expired?
no token, but a certificate               ─► by its alternative names, then its common name

A token decides alone: a bad one is not made good by a certificate. Who is not
known hears the same whatever was wrong; that a token has expired is told only
to whoever holds it.
"""

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import structlog

from fraud.clock import format_time
from fraud.errors import ConfigError, FraudError, Unauthenticated
from fraud.monitoring.rotation import Stamp, stamp_of
from fraud.serving.credentials import Credential, last_ends, parts_of, read_credentials
from fraud.serving.roles import RAW_SCORES, Caller

_log = structlog.get_logger("fraud.serving.identities")
_BEARER = "Bearer "


class Identities:
    """The credentials of one moment, by token id and by subject; never changed."""

    def __init__(self, credentials: Iterable[Credential], raw_scores: Collection[str]) -> None:
        """`raw_scores` are the roles that see scores."""
        given = tuple(credentials)
        self.end_us = min((end for end in last_ends(given).values() if end), default=0)
        """When the first identity is left without a credential, or was, µs UTC; 0: none will be."""
        self._by_id: dict[str, tuple[Credential, Caller]] = {}
        self._by_subject: dict[str, tuple[Credential, Caller]] = {}
        seeing = {RAW_SCORES, *raw_scores}
        for it in given:
            roles = frozenset(it.rights) - {RAW_SCORES}
            entry = it, Caller(it.name, roles, raw_scores=not seeing.isdisjoint(it.rights))
            if it.digest:
                self._by_id[it.id] = entry
            else:
                # One that was revoked does not stand in the way of a later one.
                self._by_subject[it.subject] = entry

    def of_token(self, authorization: str, now_us: int) -> Caller:
        """Return who shows this `authorization` metadata.

        Raises:
            Unauthenticated: it is no token, or unknown, revoked or expired.
        """
        if not authorization.startswith(_BEARER):
            raise Unauthenticated("authorization: is no bearer token; send 'Bearer ' and the token")
        id_, secret = parts_of(authorization[len(_BEARER) :])
        found = self._by_id.get(id_)
        if found is None or not found[0].is_shown_by(secret):
            raise Unauthenticated("authorization: the token is not known here; ask the operator for one")
        return _valid(*found, now_us)

    def of_certificate(self, names: Mapping[str, Iterable[bytes]], now_us: int) -> Caller:
        """Return who shows a verified certificate with these names, as gRPC tells them.

        Raises:
            Unauthenticated: none of them is known, or the one that is was revoked or has expired.
        """
        alternative = names.get("x509_subject_alternative_name", ())
        common = names.get("x509_common_name", ())
        subjects = [f"san:{_text(it)}" for it in alternative] + [f"cn:{_text(it)}" for it in common]
        for subject in subjects:
            found = self._by_subject.get(subject)
            if found is not None:
                return _valid(*found, now_us)
        if subjects:
            raise Unauthenticated(
                f"the certificate of {', '.join(subjects)} belongs to no identity; "
                "'fraud token add --certificate' names one"
            )
        raise Unauthenticated("no token and no certificate; send 'authorization: Bearer ' and the token")


def _valid(credential: Credential, caller: Caller, now_us: int) -> Caller:
    standing = credential.standing(now_us)
    if standing == "valid":
        return caller
    when = format_time(credential.revoked_us or credential.expires_us)
    raise Unauthenticated(
        f"credential {credential.id} of {caller.name}: {standing} at {when}; "
        f"'{credential.another()}' makes another"
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


class IdentityFile:
    """Holds the identities of a file; `refresh` reads it again when it has changed."""

    def __init__(self, path: Path, raw_scores: Collection[str]) -> None:
        """Read the file.

        Raises:
            ConfigError: it is missing, open to others' writing, or no such file.
        """
        self._path = path
        self._raw_scores = raw_scores
        self._stamp: Stamp = ()
        self.held = Identities((), raw_scores)
        self._read()

    def refresh(self) -> bool:
        """Read the file again if it has changed, and tell whether that was so.

        What cannot be read leaves the identities as they are; the log says why.
        """
        try:
            changed = self._read()
        except FraudError as error:
            _log.error("identities stay as they were", why=error)
            return False
        if changed:
            _log.info("identities read again", file=str(self._path))
        return changed

    def _read(self) -> bool:
        stamp = stamp_of([self._path])
        if stamp == self._stamp:
            return False
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except OSError as error:
            # It may pass, and what was revoked must not stay valid: read again at the next look.
            failed = ((error.errno or -1,),)
            if self._stamp == failed:
                return False
            self._stamp = failed
            raise ConfigError(
                f"server.identities.file: {self._path}: {error.strerror}; 'fraud token add' writes it"
            ) from None
        self._stamp = stamp
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                f"server.identities.file: {self._path}: others may write it, and make themselves operators; "
                f"chmod 600 {self._path}"
            )
        credentials = read_credentials(text, str(self._path))
        self.held = Identities(credentials, self._raw_scores)
        return True
