"""What exclusions demand, beside a service that goes on: rebuilds that wait, fail or are needed no more."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fraud.errors import Unavailable
from fraud.faults import HOLD_VARIABLE, VARIABLE
from fraud.labels.exclusions import Exclusion, View
from fraud.records import Scored
from fraud.serving.follower import LedgerFollower
from fraud.serving.server import ScoringProcess
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside, score
from tests.serving.test_follower import crown
from tests.serving.worlds import Stream, settings_in

TIMEOUT_S = 180.0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A champion that learned from the first 40 positions."""
    settings_in(tmp_path)
    made = Ledger(tmp_path)
    made.register("card-1", upto=40)
    crown(made, "card-1")
    return made


def exclude(ledger: Ledger, data: Exclusion, first_position: int) -> int:
    body = {"exclusion": data.to_dict(), "first_position": first_position, "labels": 0, "transactions": 1}
    return ledger.append("DataExcluded", body | {"muted": False, "retrain": False})


def from_row(process: ScoringProcess, position: int) -> Exclusion:
    """Return the transactions from the one at a position on."""
    (entry,) = process.log.read(position - 1, 1)
    assert isinstance(entry.event, Scored)
    return Exclusion("transactions", from_us=entry.event.event_time_us, to_us=2**61)


def view_of(process: ScoringProcess) -> View:
    assert process.scorer.state is not None
    return process.scorer.state.fold.view


async def until(process: ScoringProcess, true: Callable[[], bool]) -> None:
    """Let the follower look until something is true."""
    end = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < end, f"did not come true within {TIMEOUT_S:g} s"
        await process.follower.poll(process.batcher)
        await asyncio.sleep(0.02)


def test_a_rebuild_that_dies_is_told_of_and_tried_again_and_nothing_else_waits_for_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=71)
        await score(process, stream, 50)
        data = from_row(process, 45)
        exclude(ledger, data, 45)
        monkeypatch.setenv(VARIABLE, "rebuild.begun")  # as when memory runs out
        with capture_logs() as logs:
            await until(process, lambda: any(it["event"].startswith("not rebuilt") for it in logs))
        monkeypatch.delenv(VARIABLE)
        assert view_of(process) == View()
        ledger.register("card-2", upto=10)
        crown(ledger, "card-2")
        await process.follower.poll(process.batcher)
        assert process.follower.serving("card") == "card-2"
        process.reconciler._again_at_s = 0.0
        await until(process, lambda: view_of(process) == View((data,)))
        assert process.snapshots.newest_position() == 0
        await process.keeper.tend(process.batcher)
        assert process.snapshots.newest_position() == process.log.head(), "a restart rebuilds none"
        await score(process, stream, 10)

    inside(ledger.settings, body)


def test_labels_count_at_once_while_transactions_wait_and_what_is_undone_is_rebuilt_no_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    monkeypatch.setenv(HOLD_VARIABLE, f"rebuild.begun:{hold}")

    async def body(process: ScoringProcess) -> None:
        await score(process, Stream(seed=72), 50)
        data, labels = from_row(process, 45), Exclusion("labels", batch_id="bad")
        seq = exclude(ledger, data, 45)
        await process.follower.poll(process.batcher)
        first = process.reconciler._rebuild
        assert first is not None
        exclude(ledger, labels, 51)
        await process.follower.poll(process.batcher)
        assert view_of(process) == View((labels,))
        assert process.reconciler._rebuild is first, "labels do not begin it anew"
        ledger.append("ExclusionUndone", {"exclusion": seq})
        await until(process, lambda: process.reconciler._rebuild is None)
        assert first.stopped
        assert view_of(process) == View((labels,))
        exclude(ledger, data, 45)
        hold.unlink()
        await until(process, lambda: view_of(process) == View((data, labels)))
        assert not (process.settings.places.state / "aside").exists()

    inside(ledger.settings, body)


def test_a_ledger_that_takes_no_rollback_keeps_no_service_from_starting(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.settings = settings_in(tmp_path, FRAUD__MODELS__CARD__NO_CLEAN_CHAMPION="NONE")

    async def first(process: ScoringProcess) -> None:
        await score(process, Stream(seed=73), 50)
        exclude(ledger, Exclusion("labels", batch_id="bad"), 5)

    inside(ledger.settings, first)
    ledger.register("card-2", upto=40, batches=[])
    crown(ledger, "card-2")
    exclude(ledger, Exclusion("transactions", from_us=1, to_us=2**61), 5)

    async def second(process: ScoringProcess) -> None:
        assert process.follower.serving("card") == "card-2", "a promotion it had not applied yet"

        def refuse(*_: Any, **__: Any) -> None:
            raise Unavailable("the ledger cannot be written")

        with monkeypatch.context() as patch:
            patch.setattr(process.registry.store, "append", refuse)
            with capture_logs() as logs:
                await process.look()
        assert [it["event"] for it in logs if it["log_level"] == "error"] == [
            "following the ledger failed; will try again"
        ]
        assert view_of(process) == View()
        await process.look()
        assert process.follower.serving("card") == "", "both learned from it"
        await until(process, lambda: view_of(process) != View())

    inside(ledger.settings, second)


def test_what_cannot_be_put_into_effect_at_the_start_is_at_the_first_look(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(process: ScoringProcess) -> None:
        assert process.follower.serving("card") == "card-1"

    inside(ledger.settings, nothing)
    ledger.register("card-2", upto=40)
    crown(ledger, "card-2")

    def refuse(*_: Any) -> None:
        raise Unavailable("the log cannot be written")

    async def body(process: ScoringProcess) -> None:
        assert process.follower.serving("card") == "card-1"
        assert process.champions.all()["card"].version == "card-1"
        patch.undo()
        await process.look()
        assert process.champions.all()["card"].version == "card-2"

    with monkeypatch.context() as patch:
        patch.setattr(LedgerFollower, "_swap", refuse)
        inside(ledger.settings, body)


def test_a_bundle_that_was_let_go_and_is_still_there_replaces_nobody_and_stops_no_look(
    ledger: Ledger,
) -> None:
    """Files may outlive the entry that let them go: a kill in between, a restored copy."""
    for version, upto in (("card-2", 10), ("card-3", 40)):
        ledger.register(version, upto=upto)
        crown(ledger, version)
    ledger.append(
        "Vacuumed",
        {"bundles": [ledger.store.state().version("card-2").digest], "files": 0, "bytes": 0},
    )

    async def body(process: ScoringProcess) -> None:
        await score(process, Stream(seed=74), 50)
        age = partial(
            process.metrics.registry.get_sample_value, "fraud_champion_age_seconds", {"model": "card"}
        )
        process._observe()
        assert age() is not None
        exclude(ledger, from_row(process, 20), 20)
        await until(process, lambda: process.follower.serving("card") == "")
        assert ledger.store.state().champion("card") == ""
        process._observe()
        assert age() is None, "nobody is so old"
        await until(process, lambda: view_of(process) != View())

    ledger.settings = settings_in(
        ledger.settings.data_dir.parent, FRAUD__MODELS__CARD__NO_CLEAN_CHAMPION="NONE"
    )
    inside(ledger.settings, body)
