"""A label feed goes silent: the guard freezes the retrain, until a person passes over it by name."""

import json
from pathlib import Path

import pytest

from fraud.cli.main import run
from fraud.client import Client
from fraud.errors import InvalidInput
from fraud.records import Label, LabelValue
from fraud.registry.guard_reports import GuardReport
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.settings import load_settings
from tests.process.test_loop import FINISHED, retraining, wait_for
from tests.serving.worlds import Stream, serving, settings_in, train_at_once

pytestmark = pytest.mark.process

GUARD = """
[guard]
history = "14d"
history_min = "5d"
"""


def fill(client: Client, stream: Stream, days: int, waiting: list[str], *, labelled: bool = True) -> None:
    """Score some days of payments; at noon the frauds of the day before are labelled."""
    for _ in range(days):
        before = len(stream.frauds)
        for part in range(8):
            if part == 4 and waiting and labelled:
                told = [Label(name, LabelValue.FRAUD, stream.now_us) for name in waiting]
                client.submit_labels(f"day-{stream.count}", 0, "chargeback", "bank", told)
            for result in client.score_batch(stream.take(50, step_us=2 * 86_400_000_000 // 400)):
                assert result.HasField("decision"), result.error
        waiting[:] = [fraud.transaction_id for fraud in stream.frauds[before:]]


def reports(folder: Path) -> list[tuple[GuardReport, str]]:
    """Every report of the ledger on the model, with its reason."""
    store = LedgerStore.open(load_settings(folder / "fraud.toml", {}).places.ledger)
    state, found = RegistryState(), []
    for entry in store.read():
        state.apply(entry)
        if entry.kind == "GuardReported" and entry.body["model"] == "card":
            found.append((state.guard_reports["card"], entry.reason))
    store.close()
    return found


def test_a_silent_feed_freezes_a_retrain_until_it_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_in(tmp_path)
    train_at_once(tmp_path)
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text() + GUARD)
    stream, waiting = Stream(seed=5), list[str]()
    with serving(tmp_path) as process, process.client() as client, retraining(tmp_path):
        fill(client, stream, 12, waiting)
        first = wait_for(client, client.trigger_retrain("card", "first champion", "test"))
        assert [it.verdict for it in first.verdicts] == ["PROMOTE"], first.verdicts
        assert run(["guard", "--config", str(config), "--model", "card"]) == 0
        fill(client, stream, 3, waiting, labelled=False)

        capsys.readouterr()
        assert run(["guard", "--config", str(config), "--output", "json"]) == 1
        (judged, _) = json.loads(capsys.readouterr().out)["judgements"]
        assert judged["frozen"]
        assert "silence" in {finding["check"] for finding in judged["findings"]}

        frozen = wait_for(client, client.trigger_retrain("card", "as usual", "test"))
        assert frozen.state == FINISHED, frozen.text
        assert [(it.verdict, it.version) for it in frozen.verdicts] == [("FROZEN", "")]
        assert "silence: 0 fraud labels of chargeback" in frozen.verdicts[0].reason
        assert len(client.list_versions("card").versions) == 1, "nothing was trained"

        with pytest.raises(InvalidInput, match="no check sillence; name any of silence"):
            client.trigger_retrain("card", "we know", "ann", ["sillence"])
        checks = sorted({finding["check"] for finding in judged["findings"]})
        passed = wait_for(client, client.trigger_retrain("card", "holidays", "ann", checks))
        assert passed.state == FINISHED, passed.text
        assert "FROZEN" not in {it.verdict for it in passed.verdicts}
        assert process.stop() == 0
    clean, stopped, overridden = reports(tmp_path)
    assert (clean[0].frozen, stopped[0].frozen, overridden[0].frozen) == (False, True, False)
    assert stopped[0].fit_until_us == clean[0].fit_until_us < overridden[0].fit_until_us
    assert overridden[0].overridden == tuple(checks)
    assert overridden[1].endswith("overridden by ann: holidays")


def test_an_unknown_check_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_in(tmp_path)
    command = ["retrain", "--once", "--config", str(tmp_path / "fraud.toml"), "--override-guard"]
    assert run([*command, "sillence", "--reason", "holidays"]) == 2
    assert "name any of silence, outcomes" in capsys.readouterr().err
    assert run([*command, "silence"]) == 2
    assert "--reason: is not given" in capsys.readouterr().err
