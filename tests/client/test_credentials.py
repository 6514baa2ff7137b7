"""How a client shows itself: from a file or a variable, and never in clear over a network."""

from pathlib import Path

import pytest

from fraud.client import Client, Credentials, Tls
from fraud.client.credentials import credentials_of
from fraud.errors import ConfigError
from fraud.settings.access import ClientSection


@pytest.mark.parametrize("target", ["10.0.0.5:50051", "fraud.example:50051", "0.0.0.0:1", "unix:/run/fraud"])
def test_a_token_is_not_sent_over_a_network_in_clear(target: str) -> None:
    with pytest.raises(ConfigError, match=r"client.ca: is not given.*in clear"):
        Client(target, credentials=Credentials("fraud_1_2"))


@pytest.mark.parametrize("target", ["127.0.0.1:1", "[::1]:1", "localhost:1"])
def test_on_this_machine_it_may_be(target: str) -> None:
    Client(target, credentials=Credentials("fraud_1_2")).close()


def test_no_token_needs_no_tls() -> None:
    Client("10.0.0.5:50051").close()


def test_the_variable_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("fraud_1_file\n", encoding="utf-8")
    section = ClientSection(token_file=file)
    assert credentials_of(section, {}).token == "fraud_1_file"
    assert credentials_of(section, {"FRAUD_TOKEN": "fraud_2_variable"}).token == "fraud_2_variable"
    assert not credentials_of(ClientSection(), {}).tell_who


def test_tls_is_on_once_anything_of_it_is_given(tmp_path: Path) -> None:
    for name in ("ca", "own", "key"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert credentials_of(ClientSection(), {}).tls is None
    assert credentials_of(ClientSection(ca=tmp_path / "ca"), {}).tls == Tls(ca=b"ca")
    given = credentials_of(ClientSection(certificate=tmp_path / "own", key=tmp_path / "key"), {})
    assert given.tls == Tls(certificate=b"own", key=b"key")
    assert given.tell_who
    assert credentials_of(ClientSection(server_name="fraud.example"), {}).tls is not None


@pytest.mark.parametrize("name", ["token_file", "ca"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    section = ClientSection.model_validate({name: tmp_path / "nothing"})
    with pytest.raises(ConfigError, match=rf"client.{name}: .*nothing: No such file"):
        credentials_of(section, {})


def test_what_is_no_token_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words", encoding="utf-8")
    with pytest.raises(ConfigError, match="is no token") as caught:
        credentials_of(ClientSection(token_file=tmp_path / "token"), {})
    assert "two words" not in str(caught.value)


def test_secrets_stand_in_no_representation() -> None:
    shown = repr(Credentials("fraud_1_secret", Tls(b"ca", b"own", b"private")))
    assert "secret" not in shown
    assert "private" not in shown
