"""`fraud rules` and `fraud list`: files of rules, a trial on the archive, lists of a running service."""

import json
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.registry.store import LedgerStore
from fraud.serving.server import ScoringProcess
from fraud.settings import load_settings
from tests.retrainer.test_rule_trials import archived, labelled
from tests.serving.test_exploring import inside
from tests.serving.test_overruling import decide, payment
from tests.serving.worlds import Stream, serving, settings_in

RULES = """
[[rule]]
name = "large"
when = "amount > 100 AND channel = 'shop'"
outcome = "REVIEW"
text = "a large amount"

[[rule]]
name = "second"
when = "card_count_1d >= 1"
outcome = "DECLINE"
stage = "after"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings_in(tmp_path)
    LedgerStore.open(load_settings(tmp_path / "fraud.toml", {}).places.ledger).close()
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    return tmp_path


def fraud(
    folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    status = run(["--config", str(folder / "fraud.toml"), "--output", "json", *map(str, arguments)])
    told = capsys.readouterr()
    return status, json.loads(told.out) if told.out else {}, told.err


def set_rules(folder: Path, capsys: pytest.CaptureFixture[str], file: str = "rules.toml") -> dict[str, Any]:
    given = ("--model", "card", "--reason", "gift cards", "--actor", "jane")
    status, document, error = fraud(folder, capsys, "rules", "set", folder / file, *given)
    assert status == 0, error
    (shown,) = document["rules"]
    return dict(shown)


def test_a_file_is_set_on_the_record_once_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = set_rules(folder, capsys)
    assert set_rules(folder, capsys) == shown
    assert [(rule["name"], rule["stage"], rule["text"]) for rule in shown["rules"]] == [
        ("large", "before", "a large amount"),
        ("second", "after", "rule second"),
    ]
    assert (shown["actor"], shown["reason"], shown["ledger_seq"]) == ("jane", "gift cards", 1)
    status, document, _ = fraud(folder, capsys, "rules", "show")
    assert status == 0
    assert document["rules"] == [shown, {"model": "transfer", "rules": [], "digest": "", "ledger_seq": 0}]
    (folder / "none.toml").write_text("", encoding="utf-8")
    assert set_rules(folder, capsys, "none.toml")["rules"] == []
    ledger = LedgerStore.open(load_settings(folder / "fraud.toml", {}).places.ledger)
    assert ledger.head() == 2
    ledger.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[rule]]\nname = 'typo'\nwhen = 'amuont > 1'\noutcome = 'REVIEW'", "did you mean amount?"),
        ("[[rule]]\nname = 'x'\nwhen = 'amount > 1'\noutcome = 'NO'", "rule 'x', outcome: 'NO' is none"),
        ("[[rules]]\nname = 'x'", "has an unknown key 'rules'; write each rule as a [[rule]] table"),
        ("rule = 3", "has a `rule` that is no list of tables"),
        ("[[rule", "is no TOML"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (folder / "wrong.toml").write_text(text, encoding="utf-8")
    given = (folder / "wrong.toml", "--model", "card")
    for asked in (("set", *given, "--reason", "x"), ("test", *given)):
        status, _, error = fraud(folder, capsys, "rules", *asked)
        assert status == 2
        assert told in " ".join(error.split())


def test_a_trial_needs_no_service_and_sets_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(seed=81)
    asked = ("rules", "test", folder / "rules.toml", "--model", "card")
    status, _, error = fraud(folder, capsys, *asked)
    assert (status, "the archive holds no payment of 'card'" in error) == (1, True)

    async def body(process: ScoringProcess) -> None:
        early = payment(stream, amount_minor=20_000)
        await decide(process, early)
        stream.skip_days(10)
        wires = [payment(stream, amount_minor=20_000), payment(stream), payment(stream, card="one")]
        await decide(process, *wires)
        labelled(process, wires[0].transaction_id)
        archived(process.settings, process)

    inside(load_settings(folder / "fraud.toml", {}), body)
    status, document, error = fraud(folder, capsys, *asked, "--since", "2d")
    assert status == 0, error
    assert (document["rows"], document["frauds"]) == (3, 1)
    large, second = document["rules"]
    assert (large["rows"], large["frauds"], large["precision"], large["amount_minor"]) == (1, 1, 1.0, 20_000)
    assert (second["rows"], second["decides"], document["whole"]["rows"]) == (1, 1, 2)
    assert fraud(folder, capsys, *asked, "--since", "30d")[1]["rows"] == 4
    status, _, error = fraud(folder, capsys, *asked, "--since", "soon")
    assert (status, "--since" in error) == (2, True)
    assert fraud(folder, capsys, "rules", "show", "--model", "card")[1]["rules"][0]["ledger_seq"] == 0


@pytest.mark.process
def test_lists_are_kept_by_the_service(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(seed=82)
    with serving(folder) as process, process.client() as client:
        client.score(payment(stream, card="bad"))
        to = ("--target", process.target, "--actor", "jane", "--reason", "case 7")
        status, blocked, error = fraud(folder, capsys, "list", "block", "card", "bad", "--until", "30d", *to)
        assert status == 0, error
        assert blocked["until"] > "2023-12-14"
        assert client.score(payment(stream, card="bad")).rule == "block:card"
        status, allowed, error = fraud(folder, capsys, "list", "allow", "merchant", "ours", *to)
        assert (status, allowed["until"]) == (0, None), error
        _, shown, _ = fraud(folder, capsys, "list", "show", "--target", process.target)
        assert [(it["list"], it["entity"], it["by"]) for it in shown["listings"]] == [
            ("block", "card", "jane"),
            ("allow", "merchant", "jane"),
        ]
        _, removed, _ = fraud(folder, capsys, "list", "remove", "card", "bad", *to)
        assert removed["former"] == "block"
        asked = ("list", "show", "card", "bad", "--target", process.target)
        assert fraud(folder, capsys, *asked)[1]["listings"] == []
        status, _, error = fraud(folder, capsys, "list", "block", "card", "bad", "--until", "soon", *to)
        assert (status, "neither a duration nor a time" in error) == (2, True)
        status, _, error = fraud(folder, capsys, "list", "remove", "card", "never", *to)
        assert (status, "is on no list" in error) == (1, True)
