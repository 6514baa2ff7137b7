"""Keyed hashes of tokens: which, under which key, and what happens with another."""

import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.errors import ConfigError
from fraud.eventlog import SqliteEventLog
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.log import NewToken
from fraud.settings import Settings
from tests.eventlog.events import scored
from tests.serving.worlds import settings_in

KEYS = st.binary(min_size=32, max_size=64)
TEXT = st.text(min_size=1, max_size=40)


@given(KEYS, st.sampled_from(["card", "device"]), TEXT)
def test_the_hash_is_hmac_sha_256_over_entity_and_token(key: bytes, entity: str, token: str) -> None:
    expected = hmac.new(key, f"{entity}\x1f{token}".encode(), hashlib.sha256).digest()[:16].hex()
    assert EntityKey(key).stored(entity, token) == expected


@given(TEXT)
def test_the_same_token_of_two_entities_cannot_be_put_together(token: str) -> None:
    key = EntityKey(bytes(range(32)))
    assert key.stored("card", token) != key.stored("device", token)
    assert key.stored("card", token) != EntityKey(bytes(32)).stored("card", token)
    assert EntityKey().stored("card", token) == token


def keyed(folder: Path, text: str, mode: int = 0o600) -> Settings:
    path = folder / "entity.key"
    path.write_text(text)
    path.chmod(mode)
    return settings_in(folder, FRAUD__SERVICE__ENTITY_KEY_FILE="entity.key")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_a_key_is_read_from_its_file(tmp_path: Path, mode: int) -> None:
    settings = keyed(tmp_path, f"{'ab' * 32}\n", mode)
    assert EntityKey.of(settings).fingerprint == EntityKey(bytes([0xAB] * 32)).fingerprint != ""


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o602, 0o644])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=r"entity_key_file: .* is open to others .* chmod 600"):
        EntityKey.of(keyed(tmp_path, "ab" * 32, mode))


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 65, "zz" * 32, "ab" * 32 + "c", "ключ"])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    settings = keyed(tmp_path, text)
    with pytest.raises(ConfigError, match="holds no key of 32 to 64 bytes in hex; make one") as caught:
        EntityKey.of(settings)
    assert not text or text not in str(caught.value)
    (tmp_path / "entity.key").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        EntityKey.of(settings)


@pytest.mark.parametrize(("first", "then"), [("a1", "b2"), ("a1", ""), ("", "b2")])
def test_a_log_with_tokens_is_for_one_key(tmp_path: Path, first: str, then: str) -> None:
    def opened(fingerprint: str, *, writable: bool = True) -> SqliteEventLog:
        log = SqliteEventLog.open(tmp_path / "log.db", writable=writable, entity_names=["card"])
        try:
            log.hold_to_key(fingerprint)
        except BaseException:
            log.close()
            raise
        return log

    log = opened(first)
    log.append([scored("t1")], 1, [NewToken(0, 0, "tok")])
    log.close()
    opened(first).close()
    opened(first, writable=False).close()
    for writable in (True, False):
        with pytest.raises(ConfigError, match=r"every entity would be a new one") as caught:
            opened(then, writable=writable)
        assert all(name in str(caught.value) for name in (first, then) if name)


@pytest.mark.parametrize("then", ["b2", ""])
def test_a_log_without_tokens_takes_another_key(tmp_path: Path, then: str) -> None:
    def opened(fingerprint: str) -> SqliteEventLog:
        log = SqliteEventLog.open(tmp_path / "log.db", writable=True, entity_names=["card"])
        log.hold_to_key(fingerprint)
        return log

    opened("a1").close()
    log = opened(then)
    log.append([scored("t1")], 1, [NewToken(0, 0, "tok")])
    log.close()
    with pytest.raises(ConfigError, match="every entity would be a new one"):
        opened("a1")
    opened(then).close()
