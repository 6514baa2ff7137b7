"""`fraud token` and the commands of people who show one, against a real server with TLS."""

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.cli.shell import ready
from fraud.errors import Unavailable
from fraud.registry.store import LedgerStore
from tests.serving.authority import Guarded
from tests.serving.registered import Ledger
from tests.serving.worlds import START_S, Process, serving
from tests.waiting import wait_until

Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    guarded = Guarded(tmp_path_factory.mktemp("token"))
    (guarded.folder / "ca.pem").write_bytes(guarded.authority.ca)
    for name, role in (("jane", "operator"), ("joe", "operator"), ("bank", "analyst")):
        guarded.add(name, role)
    return guarded


@pytest.fixture(scope="module")
def process(guarded: Guarded) -> Iterator[Process]:
    rule = {"FRAUD__SERVER__TWO_PERSON__METHODS": '["Promote", "Rollback", "ExcludeData"]'}
    with serving(guarded.folder, **guarded.environment(**rule)) as process:
        yield process


@pytest.fixture
def fraud(guarded: Guarded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command as an identity ("" for nobody); return status, document or text, and stderr."""
    for name, value in guarded.environment(
        FRAUD__CLIENT__CA="ca.pem", FRAUD__CLIENT__SERVER_NAME="localhost", COLUMNS="200"
    ).items():
        monkeypatch.setenv(name, value)

    def command(who: str, *arguments: str, output: str = "json") -> tuple[int, Any, str]:
        monkeypatch.setenv("FRAUD_TOKEN", guarded.tokens.get(who, who))
        capsys.readouterr()
        config = str(guarded.folder / "fraud.toml")
        status = run(["--config", config, "--output", output, *arguments])
        told = capsys.readouterr()
        document = json.loads(told.out) if told.out and output == "json" else told.out
        return status, document, told.err

    return command


def test_a_token_is_made_shown_once_used_rotated_and_revoked(
    process: Process, guarded: Guarded, fraud: Command
) -> None:
    to = ("--target", process.target)
    status, made, _ = fraud("", "token", "add", "eve", "--role", "auditor", "--role", "raw_scores")
    assert status == 0
    assert (made["name"], made["rights"], made["standing"]) == ("eve", ["auditor", "raw_scores"], "valid")
    token = made["token"]
    wait_until(lambda: fraud(token, "token", "whoami", *to)[0] == 0)
    assert fraud(token, "token", "whoami", *to)[1] == {
        "name": "eve", "roles": ["auditor"], "raw_scores": True,
    }  # fmt: skip
    _, listed, _ = fraud("", "token", "list")
    assert token not in json.dumps(listed)
    status, newer, _ = fraud("", "token", "rotate", "eve", "--grace", "1h", "--expires", "never")
    assert (status, newer["expires"]) == (0, "")
    wait_until(lambda: fraud(newer["token"], "token", "whoami", *to)[0] == 0)
    assert fraud(token, "token", "whoami", *to)[0] == 0
    assert fraud("", "token", "revoke", made["id"])[1]["standing"] == "revoked"
    wait_until(lambda: fraud(token, "token", "whoami", *to)[0] == 1)
    assert "revoked at" in fraud(token, "token", "whoami", *to)[2]
    assert fraud("", "token", "expire", newer["id"], "--at", "2d")[1]["expires"]
    shown = fraud("", "token", "list", output="table")[1]
    assert "eve" in shown
    assert "revoked" in shown
    mode = (guarded.folder / "identities.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_the_plain_output_of_add_is_the_token_alone(fraud: Command) -> None:
    status, out, err = fraud("", "token", "add", "machine", "--role", "scorer", output="table")
    assert status == 0
    assert out.startswith("fraud_")
    assert len(out.split()) == 1
    assert out.strip() not in err
    assert "shown this once" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "x y", "--role", "scorer"), "name: 'x y' is no name of an identity"),
        (("add", "x", "--role", "boss"), "role: 'boss' is none; give one or more of scorer"),
        (("add", "x", "--role", "scorer", "--certificate", "shop"), "certificate: 'shop' is no subject"),
        (("add", "x", "--role", "scorer", "--expires", "soon"), "--expires"),
        (("add", "x", "--role", "scorer", "--expires", "1970-01-01T00:00:00Z"), "lies in the past"),
        (("rotate", "jane", "--grace", "soon"), "--grace: 'soon' is not a duration"),
    ],
)
def test_a_wrong_argument_is_named_with_the_remedy(
    fraud: Command, arguments: tuple[str, ...], message: str
) -> None:
    status, _, err = fraud("", "token", *arguments)
    assert status == 2
    assert message in err


def test_without_a_file_of_identities_the_setting_is_named(
    fraud: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FRAUD__SERVER__IDENTITIES__FILE")
    status, _, err = fraud("", "token", "list")
    assert status == 2
    assert "server.identities.file: is not given" in err


def test_commands_sign_with_the_identity_and_say_that_they_wait(
    process: Process, guarded: Guarded, fraud: Command
) -> None:
    to = ("--target", process.target)
    ledger = Ledger(guarded.folder)
    for version in ("card-1", "card-2"):
        ledger.register(version, upto=1)
    order = ("promote", "card-1", "--override", "--reason", "agreed", *to)
    status, waits, _ = fraud("jane", *order)
    assert status == 3
    assert not waits["applied"]
    (asked,) = fraud("joe", "asked", *to)[1]["asked"]
    assert (asked["ledger_seq"], asked["actor"], asked["what"]["version"]) == (
        waits["asked_seq"], "jane", "card-1",
    )  # fmt: skip
    assert "jane" in fraud("joe", "asked", *to, output="table")[1]
    assert fraud("joe", *order)[1]["applied"]
    assert fraud("joe", "asked", *to)[1]["asked"] == []
    entry = fraud("joe", "history", *to)[1]["entries"][0]
    assert (entry["actor"], entry["asked_by"]) == ("joe", "jane")
    assert "joe, asked by jane" in fraud("joe", "history", *to, output="table")[1]
    refused = fraud("joe", "promote", "card-2", "--override", "--reason", "r", "--actor", "jane", *to)
    assert refused[0] == 2
    assert "says 'jane', but joe calls" in refused[2]
    ledger.store.close()


def test_a_health_check_needs_no_token_and_trusts_whom_the_configuration_trusts(
    process: Process, guarded: Guarded, fraud: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fraud("", "token", "list")
    monkeypatch.setenv("FRAUD_CONFIG", str(guarded.folder / "fraud.toml"))
    ready(process.target, START_S)
    monkeypatch.delenv("FRAUD__CLIENT__CA")
    monkeypatch.delenv("FRAUD__CLIENT__SERVER_NAME")
    with pytest.raises(Unavailable):
        ready(process.target, 0.5)


def test_labels_are_pushed_and_retracted_without_naming_a_submitter(
    process: Process, guarded: Guarded, fraud: Command
) -> None:
    to = ("--target", process.target)
    file = guarded.folder / "labels.csv"
    file.write_text("transaction_id,value,label_time\nt-1,FRAUD,2020-01-09T10:00:00Z\n", encoding="utf-8")
    assert fraud("bank", "label", "push", str(file), "--batch", "b", "--source", "analyst", *to)[0] == 0
    assert fraud("bank", "label", "batches", *to)[1]["batches"][0]["submitter"] == "bank"
    assert fraud("bank", "label", "retract", "b", "--reason", "a slip", *to)[0] == 0
    status, _, err = fraud("", "label", "retract", "b", "--reason", "a slip", *to)
    assert (status, "--submitter: is not given" in err) == (2, True)


@pytest.mark.usefixtures("process")
def test_who_writes_past_the_server_is_a_user_of_the_machine_and_no_identity(
    guarded: Guarded, fraud: Command
) -> None:
    switch = ("explore", "--off", "--model", "card", "--reason", "a run")
    status, _, err = fraud("", *switch, "--actor", "jane")
    assert (status, "--actor: says 'jane', but local:" in err) == (2, True)
    assert fraud("", *switch)[0] == 0
    ledger = LedgerStore.open(Path(guarded.folder) / "data" / "registry.sqlite", writable=False)
    assert ledger.read()[-1].actor.startswith("local:")
    ledger.close()


def test_what_a_role_may_not_do_ends_with_status_one_and_its_name(process: Process, fraud: Command) -> None:
    status, _, err = fraud("bank", "promote", "card-1", "--reason", "r", "--target", process.target)
    assert status == 1
    assert "bank (analyst) may not call" in err
