"""Shadows, promotion and demotion by probation, under load, without a failed request."""

from pathlib import Path

import pytest

from fraud.client import Client
from fraud.clock import DAY_US
from fraud.eventlog.folder import open_log
from fraud.records import Scored
from fraud.settings import load_settings
from fraud.settings.model import Policy, Target
from tests.process.test_loop import probing
from tests.serving.registered import Ledger
from tests.serving.worlds import Stream, serving, settings_in
from tests.waiting import wait_until

pytestmark = pytest.mark.process


FEW = Policy(review=Target(share=0.05))
DECLINES_ALL = Policy(review=None, decline=Target(score=1e-9))
PROBATION_US = 100_000 * DAY_US


def test_in_shadow_promoted_and_demoted_under_load(tmp_path: Path) -> None:
    settings_in(tmp_path)
    with serving(tmp_path, FRAUD__GATE__SHADOW__CHALLENGERS="2") as process, process.client() as client:
        ledger = Ledger(tmp_path)
        ledger.register("card-1", upto=1, policy=FEW)
        ledger.promote(client, "card-1")
        with probing(process) as probe:
            client.score_batch(Stream(seed=3).take(40))
            wait_until(lambda: "card-1" in probe.versions, "payments scored by card-1")
            ledger.register("card-2", upto=1, policy=FEW)
            ledger.register("card-3", upto=2, policy=DECLINES_ALL)
            wait_until(lambda: status(client, "card-2") == ("challenger", "challenger_2"), "card-2 in shadow")
            assert status(client, "card-3") == ("challenger", "challenger_1")

            ledger.promote(client, "card-2", probation_us=PROBATION_US)
            wait_until(lambda: status(client, "card-1") == ("former champion", "former"), "card-1 in shadow")
            assert client.get_version("card-2").version.probation_until_us > 0
            for _ in range(5):
                client.score_batch(Stream(seed=4).take(40))
            wait_until(lambda: "card-2" in probe.versions, "payments scored by card-2")
            assert client.get_champion("card").version == "card-2", "an ordinary champion stays"

            # It declines everything, but so it did all payments before: it was promoted for that.
            ledger.promote(client, "card-3", probation_us=PROBATION_US)
            wait_until(lambda: status(client, "card-2")[1] == "former", "card-2 in shadow")
            stream = Stream(seed=5)
            for _ in range(5):
                client.score_batch(stream.take(40))
            wait_until(lambda: "card-3" in probe.versions, "payments scored by card-3")
            assert client.get_champion("card").version == "card-3"
            promotions = [it.kind for it in ledger.store.read() if it.kind in ("Promoted", "RolledBack")]
            assert promotions == ["Promoted"] * 3
        assert not probe.failures
        assert {"card-1", "card-2", "card-3"} <= probe.versions
        assert process.stop() == 0
    scored = rows_of(tmp_path)
    assert {it.version for row in scored for it in row.decision.shadows} == {"card-1", "card-2", "card-3"}
    assert all(len(row.decision.shadows) <= 3 for row in scored)


def test_a_jump_rolls_back_by_itself_under_load(tmp_path: Path) -> None:
    settings_in(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.register("card-1", upto=0, policy=FEW)
    ledger.register("card-2", upto=0, policy=DECLINES_ALL)
    with serving(tmp_path) as process, process.client() as client:
        ledger.promote(client, "card-1")
        ledger.promote(client, "card-2", probation_us=PROBATION_US)
        with probing(process) as probe:
            wait_until(lambda: client.get_champion("card").version == "card-1", "card-1 is back")
        assert not probe.failures
        entry = ledger.store.read()[-1]
        assert (entry.kind, entry.actor, entry.body["expected"]) == ("RolledBack", "probation", "card-2")
        assert "rose to 100.00% of" in entry.reason
        assert process.stop() == 0
    declined = [row for row in rows_of(tmp_path) if row.decision.version == "card-2"]
    assert 20 <= len(declined) <= 5_000


def status(client: Client, version: str) -> tuple[str, str]:
    """What a version is, and its place in shadow."""
    found = client.get_version(version).version
    return found.status, found.shadow


def rows_of(folder: Path) -> list[Scored]:
    """What the log holds, read after the service has ended."""
    settings = load_settings(folder / "fraud.toml", {})
    log = open_log(settings)
    rows = [it.event for it in log.read(0, 1_000_000) if isinstance(it.event, Scored)]
    log.close()
    return rows
