"""Tokens and the file they stand in: shown once, kept as digests, ended in time."""

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.errors import ConfigError, Conflict, InvalidInput, NotAllowedNow, NotFound, Unauthenticated
from fraud.serving.credentials import Credential, digest_of, parts_of, read_credentials, spelled, token_of
from fraud.serving.identities import Identities, IdentityFile
from fraud.serving.identity_desk import IdentityDesk
from fraud.serving.roles import RIGHTS, Caller
from fraud.settings.access import ROLES
from tests.waiting import wait_until

NOW_US = 1_000_000
RAW = ("analyst", "operator", "auditor")
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True).filter(
    lambda name: name not in ("retrainer", "probation", "import")
)


def credential(**change: Any) -> Credential:
    made = Credential("1a", "jane", ("operator",), digest_of("s"), "", NOW_US, "root", 0)
    return replace(made, **change)


@given(
    names,
    st.sets(st.sampled_from(RIGHTS), min_size=1),
    st.integers(0, 2**52),
    st.integers(0, 2**52),
    st.text(max_size=20),
)
def test_what_is_written_is_read_again(
    name: str, rights: set[str], expires_us: int, revoked_us: int, made_by: str
) -> None:
    rows = (
        credential(
            name=name, rights=tuple(rights), expires_us=expires_us, revoked_us=revoked_us, made_by=made_by
        ),
        credential(id="2b", digest="", subject="san:shop.example"),
    )
    assert read_credentials(spelled(rows), "file") == rows


@given(st.text())
def test_any_text_has_parts_or_none_and_nothing_breaks(text: str) -> None:
    id_, secret = parts_of(text)
    assert bool(id_) == bool(secret)
    assert not id_ or token_of(id_, secret) == text
    with pytest.raises(Unauthenticated):
        Identities([credential()], RAW).of_token(f"Bearer {text}", NOW_US)


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_any_name_in_a_certificate_is_looked_up_and_nothing_breaks(common: bytes, other: bytes) -> None:
    names_ = {"x509_common_name": [common], "x509_subject_alternative_name": [other]}
    with pytest.raises(Unauthenticated):
        Identities([credential()], RAW).of_certificate(names_, NOW_US)


def test_a_credential_ends_at_its_moment_and_not_before() -> None:
    held = Identities([credential(expires_us=50)], RAW)
    assert held.of_token("Bearer fraud_1a_s", 49).name == "jane"
    with pytest.raises(Unauthenticated, match="expired"):
        held.of_token("Bearer fraud_1a_s", 50)


def test_without_the_secret_nobody_learns_that_it_has_expired() -> None:
    held = Identities([credential(expires_us=50)], RAW)
    with pytest.raises(Unauthenticated, match="not known here"):
        held.of_token("Bearer fraud_1a_x", 60)


@pytest.mark.parametrize("role", ROLES)
def test_scores_are_seen_by_the_roles_that_may_and_by_the_right(role: str) -> None:
    for rights, seen in (((role,), role in RAW), ((role, "raw_scores"), True)):
        caller = Identities([credential(rights=rights)], RAW).of_token("Bearer fraud_1a_s", 1)
        assert caller == Caller("jane", frozenset([role]), raw_scores=seen)


WRONG: dict[str | bytes, str] = {
    "[]": "TypeError",
    "{": "JSONDecodeError",
    b'{"layout": 1, "credentials": "\xff"}': "UnicodeDecodeError",
    '{"layout": 2, "credentials": []}': "layout 2 is not 1",
    '{"layout": 1, "credentials": [{"id": "1"}]}': "KeyError",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_what_is_no_file_of_identities_says_so(text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"place: is no file of identities \(.*{message}.*restore it"):
        read_credentials(text, "place")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rights": ["boss"]}, "unknown right boss"),
        ({"digest": "ab"}, "digest is none"),
        ({"digest": ""}, "either digest or subject"),
        ({"digest": "", "subject": "shop"}, "is no subject"),
        ({"name": "retrainer"}, "signs with itself"),
        ({"name": "a b"}, "no name of an identity"),
        ({"expires_us": -1}, "no count of microseconds"),
        ({"made_by": 5}, "is no text"),
        ({"more": 5}, "unexpected keyword"),
    ],
)
def test_a_row_that_is_wrong_is_refused_with_the_whole_file(change: dict[str, Any], message: str) -> None:
    document = json.loads(spelled([credential()]))
    document["credentials"][0] |= change
    with pytest.raises(ConfigError, match=message):
        read_credentials(json.dumps(document), "place")


def test_the_file_holds_no_secret_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    made, token = IdentityDesk(path, made_by="root").add("jane", ["operator"], now_us=1, expires_us=9)
    text = path.read_text(encoding="utf-8")
    assert parts_of(token)[1] not in text
    assert made.digest in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in repr(made)


def test_a_new_token_goes_beside_the_old_one_which_ends_after_the_grace(tmp_path: Path) -> None:
    desk = IdentityDesk(tmp_path / "identities.json", made_by="root")
    old, _ = desk.add("jane", ["operator", "raw_scores"], now_us=1, expires_us=1_000)
    new, token = desk.rotate("jane", now_us=10, expires_us=5_000, grace_us=50)
    rows = {it.id: it for it in desk.credentials()}
    assert (rows[old.id].expires_us, rows[new.id].expires_us) == (60, 5_000)
    assert new.rights == old.rights
    assert new.is_shown_by(parts_of(token)[1])
    desk.rotate(new.id, now_us=4_990, expires_us=9_000, grace_us=50)
    rows = {it.id: it for it in desk.credentials()}
    assert rows[new.id].expires_us == 5_000


def test_who_has_no_valid_token_is_told_how_to_get_another(tmp_path: Path) -> None:
    desk = IdentityDesk(tmp_path / "identities.json", made_by="root")
    desk.add("shop", ["scorer"], now_us=1, expires_us=2)
    with pytest.raises(NotAllowedNow, match="fraud token add shop --role ROLE'"):
        desk.rotate("shop", now_us=3, expires_us=0, grace_us=0)
    made, _ = desk.add("shop", ["scorer"], now_us=3, expires_us=0)
    assert made.standing(4) == "valid"
    held, _ = desk.add("feed", ["analyst"], subject="san:feed", now_us=3, expires_us=0)
    assert held.another() == "fraud token add feed --role ROLE --certificate san:feed"


def test_what_cannot_be_changed_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    desk = IdentityDesk(path, made_by="root")
    first, _ = desk.add("jane", ["operator"], now_us=1, expires_us=0)
    desk.add("jane", ["analyst"], now_us=1, expires_us=0)
    desk.add("shop", ["scorer"], subject="cn:shop", now_us=1, expires_us=0)
    before = path.read_bytes()
    for refused, kind in (
        (lambda: desk.rotate("jane", now_us=2, expires_us=0, grace_us=0), NotAllowedNow),
        (lambda: desk.rotate("shop", now_us=2, expires_us=0, grace_us=0), NotAllowedNow),
        (lambda: desk.rotate("nobody", now_us=2, expires_us=0, grace_us=0), NotFound),
        (lambda: desk.revoke("nothing", now_us=2), NotFound),
        (lambda: desk.expire(first.id, now_us=2, expires_us=1), InvalidInput),
        (lambda: desk.add("joe", ["boss"], now_us=2, expires_us=0), InvalidInput),
        (lambda: desk.add("joe", ["raw_scores"], now_us=2, expires_us=0), InvalidInput),
        (lambda: desk.add("j o", ["operator"], now_us=2, expires_us=0), InvalidInput),
        (lambda: desk.add("joe", ["operator"], now_us=2, expires_us=2), InvalidInput),
        (lambda: desk.add("joe", ["scorer"], subject="shop", now_us=2, expires_us=0), InvalidInput),
        (lambda: desk.add("joe", ["scorer"], subject="cn:shop", now_us=2, expires_us=0), Conflict),
    ):
        with pytest.raises(kind):
            refused()
    assert path.read_bytes() == before
    desk.revoke(first.id, now_us=2)
    with pytest.raises(NotAllowedNow, match="was revoked"):
        desk.expire(first.id, now_us=2, expires_us=9)


def test_two_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"

    def add(who: int) -> None:
        desk = IdentityDesk(path, made_by="root")
        for i in range(20):
            desk.add(f"n{who}-{i}", ["scorer"], now_us=1, expires_us=0)

    threads = [Thread(target=add, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names_ = {it.name for it in IdentityDesk(path, made_by="root").credentials()}
    assert names_ == {f"n{who}-{i}" for who in range(3) for i in range(20)}


def test_the_file_is_read_again_only_when_it_has_changed_and_never_when_it_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    desk = IdentityDesk(path, made_by="root")
    _, token = desk.add("jane", ["operator"], now_us=1, expires_us=0)
    file = IdentityFile(path, RAW)
    assert not file.refresh()
    text = path.read_text(encoding="utf-8")
    path.write_text("{", encoding="utf-8")
    assert not file.refresh()
    assert file.held.of_token(f"Bearer {token}", 5).name == "jane"
    path.unlink()
    assert not file.refresh()
    assert file.held.of_token(f"Bearer {token}", 5).name == "jane"
    path.write_text(text.replace('"operator"', '"auditor"'), encoding="utf-8")
    path.chmod(0o600)
    assert file.refresh()
    assert file.held.of_token(f"Bearer {token}", 5).roles == {"auditor"}


def test_a_file_that_was_refused_for_its_rights_is_read_when_they_are_mended(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    desk = IdentityDesk(path, made_by="root")
    desk.add("jane", ["operator"], now_us=1, expires_us=0)
    file = IdentityFile(path, RAW)
    _, token = desk.add("joe", ["auditor"], now_us=1, expires_us=0)
    path.chmod(0o620)
    assert not file.refresh()

    def mended() -> bool:
        path.chmod(0o600)  # again until the clock of the file system, which is a coarse one, has gone on
        return file.refresh()

    wait_until(mended)
    assert file.held.of_token(f"Bearer {token}", 5).name == "joe"


def test_a_file_that_is_missing_or_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    with pytest.raises(ConfigError, match=r"server.identities.file: .*No such file.*fraud token add"):
        IdentityFile(path, RAW)
    IdentityDesk(path, made_by="root").add("jane", ["operator"], now_us=1, expires_us=0)
    os.chmod(path, 0o620)  # noqa: PTH101
    with pytest.raises(ConfigError, match=r"others may write it.*chmod 600"):
        IdentityFile(path, RAW)
