"""State comes back from disk whatever happened: a full disk, a pruned log, an old snapshot."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fraud.clock import DAY_US
from fraud.errors import Damaged, FraudError, LogUnwritable, Unavailable
from fraud.features.fold import FeatureFold
from fraud.labels.exclusions import View
from fraud.records import Entry, Label, LabelValue
from fraud.serving import recovery
from fraud.serving.batcher import Answer
from fraud.serving.intake import TransactionIntake
from fraud.serving.recovery import Snapshots, catch_up, entries_after, rebuilt, restore
from fraud.serving.server import ScoringProcess
from fraud.settings import Settings, load_settings
from tests.serving.worlds import Stream, settings_in


class Inside:
    """A scoring process opened in this one, without a server in front."""

    def __init__(self, settings: Settings, process: ScoringProcess | None = None) -> None:
        self.process = process or ScoringProcess(settings)
        self.intake = TransactionIntake(settings)

    async def score(self, stream: Stream, rows: int, *, model: str = "card") -> list[Answer | FraudError]:
        transactions = tuple(self.intake.read(wire, 2**61) for wire in stream.take(rows, model=model))
        return await self.process.batcher.score(transactions, with_reasons=False)

    async def label(self, stream: Stream) -> None:
        labels = [Label(t.transaction_id, LabelValue.FRAUD, stream.now_us) for t in stream.frauds]
        name = f"batch-{stream.count}"
        feedback = self.process.feedback
        await self.process.batcher.run(lambda: feedback.take_labels(name, 0, "chargeback", "bank", labels))


def inside(settings: Settings, body: Callable[[Inside], Coroutine[Any, Any, None]]) -> None:
    """Run `body` with a scorer that is recovered and started, then close it."""

    async def go() -> None:
        here = Inside(settings)
        here.process.scorer.recover()
        here.process.batcher.start(asyncio.get_running_loop())
        try:
            await body(here)
        finally:
            await here.process.batcher.close()
            here.process.close()

    asyncio.run(go())


def test_nothing_of_a_batch_is_answered_when_its_append_fails(tmp_path: Path) -> None:
    stream = Stream(seed=31)

    async def body(here: Inside) -> None:
        await here.score(stream, 300)
        scorer = here.process.scorer
        before = scorer.log.head()
        # A real full disk: SQLite refuses to grow the file any further.
        connection = here.process.log._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

        async def until_full() -> None:
            nonlocal before
            while True:
                await here.score(stream, 50)
                before += 50

        with pytest.raises(Unavailable, match="were not appended"):
            await until_full()
        assert scorer.log.head() == before
        assert scorer.ready, "state was restored at once"
        with pytest.raises(LogUnwritable, match="were not appended"):
            await here.score(stream, 1)
        assert not await here.process.readiness.check(), "the disk is full still"
        connection.execute("PRAGMA max_page_count = 1073741823")
        assert await here.process.readiness.check()
        answers = await here.score(stream, 20)
        assert all(isinstance(answer, Answer) for answer in answers)
        assert scorer.state is not None
        snapshots = Snapshots(tmp_path / "none", 1)
        process = here.process
        clean = restore(process.spec, scorer.state.fold.rule, process.log, process.archive, snapshots)
        assert scorer.state.fold.equals(clean.fold), "rows that were never logged left no trace in state"
        assert len(scorer.state.dictionary) == len(clean.dictionary)

    inside(settings_in(tmp_path), body)


def test_a_pruned_log_restores_from_the_archive(tmp_path: Path) -> None:
    stream = Stream(seed=32)
    declining = {"FRAUD__MODELS__TRANSFER__NO_CHAMPION": "DECLINE"}
    settings = settings_in(tmp_path, FRAUD__LOG__IDEMPOTENCY_HORIZON="1d", **declining)

    async def body(here: Inside) -> None:
        process = here.process
        for _ in range(10):
            await here.score(stream, 100)
            await here.score(stream, 10, model="transfer")
            await here.label(stream)
            stream.skip_days(2)
        await here.score(stream, 10, model="transfer")
        process.keeper.snapshot_now()
        await here.score(stream, 50)
        process.archive.copy_from(process.log)
        upto = process.keeper._prunable()
        assert upto == process.snapshots.oldest_position()
        process.keeper._prune(upto)
        assert process.log.first() > 1, "there was something to prune"
        state = process.scorer.state
        assert state is not None
        rule = state.fold.rule
        nothing = Snapshots(tmp_path / "none", 1)
        assert state.fold.equals(restore(process.spec, rule, process.log, process.archive, nothing).fold)
        assert state.fold.equals(
            restore(process.spec, rule, process.log, process.archive, process.snapshots).fold
        )
        again = rebuilt(process.spec, rule, process.log, process.archive, View(), process.log.head())
        assert state.fold.state.equals(again.state)

    inside(settings, body)


def test_what_is_not_archived_is_never_pruned(tmp_path: Path) -> None:
    stream = Stream(seed=33)

    async def body(here: Inside) -> None:
        await here.score(stream, 100)
        stream.skip_days(400)
        await here.score(stream, 10)
        here.process.keeper.snapshot_now()
        assert here.process.keeper._prunable() == 0
        here.process.archive.copy_from(here.process.log, upto=60)
        assert here.process.keeper._prunable() == 60
        here.process.keeper._prune(60)
        assert here.process.log.first() == 61

    inside(settings_in(tmp_path), body)


def test_days_without_traffic_prune_nothing_that_a_label_still_reaches(tmp_path: Path) -> None:
    stream = Stream(seed=36)
    settings = settings_in(tmp_path, FRAUD__LOG__IDEMPOTENCY_HORIZON="1d")

    async def body(here: Inside) -> None:
        process = here.process
        await here.score(stream, 200)
        process.keeper.snapshot_now()
        process.archive.copy_from(process.log)
        process.clock.observe(stream.now_us + 60 * DAY_US)
        process.keeper._prune(process.keeper._prunable())
        await here.label(stream)
        state = process.scorer.state
        assert state is not None
        nothing = Snapshots(tmp_path / "none", 1)
        clean = restore(process.spec, state.fold.rule, process.log, process.archive, nothing)
        assert clean.fold.equals(state.fold), "the labels joined as they would in a replay of everything"
        assert not state.fold.waiting

    inside(settings, body)


@pytest.mark.parametrize("archived", [200, 251], ids=["label in the log alone", "label archived"])
def test_a_label_behind_a_snapshot_joins_a_payment_pruned_since(tmp_path: Path, archived: int) -> None:
    stream = Stream(seed=37)
    settings = settings_in(tmp_path, FRAUD__LOG__IDEMPOTENCY_HORIZON="1d")

    async def body(here: Inside) -> None:
        process = here.process
        await here.score(stream, 200)
        process.keeper.snapshot_now()
        await here.label(stream)
        stream.skip_days(30)
        await here.score(stream, 50)
        process.archive.copy_from(process.log, upto=archived)
        process.keeper._prune(200)
        assert process.log.first() == 201
        state = process.scorer.state
        assert state is not None
        again = restore(process.spec, state.fold.rule, process.log, process.archive, process.snapshots)
        assert state.fold.equals(again.fold), "state after a restart is the one before it"

    inside(settings, body)


def test_an_entry_that_is_nowhere_is_an_error_and_not_a_guess(tmp_path: Path) -> None:
    stream = Stream(seed=34)

    async def body(here: Inside) -> None:
        process = here.process
        await here.score(stream, 100)
        process.log.prune(50, stream.now_us + DAY_US)
        assert process.scorer.state is not None
        rule = process.scorer.state.fold.rule
        with pytest.raises(Damaged, match="restore the archive folder"):
            restore(process.spec, rule, process.log, process.archive, Snapshots(tmp_path / "none", 1))

    inside(settings_in(tmp_path), body)


@pytest.mark.parametrize("before", [0, 20], ids=["from the log", "from the archive"])
def test_what_is_pruned_while_it_is_read_is_read_from_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(recovery, "_READ_ROWS", 10)

    async def body(here: Inside) -> None:
        log, archive = here.process.log, here.process.archive
        await here.score(Stream(seed=38), 100)
        archive.copy_from(log, upto=80)
        log.prune(before, 2**62)
        entries = entries_after(log, archive, 0, 100)
        begun = [next(entries) for _ in range(10)]
        log.prune(60, 2**62)
        assert [it.position for it in (*begun, *entries)] == list(range(1, 101))
        entries = entries_after(log, archive, 60, 100)
        next(entries)
        log.prune(90, 2**62)
        with pytest.raises(Damaged, match="up to 90 were pruned, but the archive ends at 80"):
            list(entries)

    inside(settings_in(tmp_path), body)


def test_a_gap_is_an_error_that_names_the_position(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        log, archive = here.process.log, here.process.archive
        await here.score(Stream(seed=39), 100)
        archive.copy_from(log)
        log._connection.execute("DELETE FROM entries WHERE position = 50")
        with pytest.raises(Damaged, match=r"position 50 is missing.*backup"):
            list(entries_after(log, archive, 0, 100))

    inside(settings_in(tmp_path), body)


def test_a_label_joins_a_payment_that_was_archived_and_pruned_while_the_log_was_replayed(
    tmp_path: Path,
) -> None:
    stream = Stream(seed=40)
    settings = settings_in(tmp_path, FRAUD__LOG__IDEMPOTENCY_HORIZON="1d")

    async def body(here: Inside) -> None:
        process = here.process
        for _ in range(2):
            stream.frauds.clear()
            await here.score(stream, 100)
            await here.label(stream)
        process.archive.copy_from(process.log, upto=101)
        process.log.prune(100, 2**62)

        def prune(entry: Entry) -> None:
            if entry.position == 202:
                process.archive.copy_from(process.log)
                process.log.prune(201, 2**62)

        state = process.scorer.state
        assert state is not None
        fold = FeatureFold(process.spec, state.fold.rule)
        catch_up(fold, process.log, process.archive, 202, follow=True, take=prune)
        assert fold.equals(state.fold), "no label waits for a payment that is only in the archive by now"

    inside(settings, body)


def test_a_snapshot_of_other_features_is_passed_over(tmp_path: Path) -> None:
    stream = Stream(seed=35)

    async def first(here: Inside) -> None:
        await here.score(stream, 100)
        here.process.keeper.snapshot_now()

    async def second(here: Inside) -> None:
        assert here.process.scorer.state is not None
        assert here.process.scorer.state.fold.position == 100
        assert here.process.scorer.state.fold.spec.fingerprint == here.process.spec.fingerprint

    inside(settings_in(tmp_path), first)
    text = (tmp_path / "fraud.toml").read_text().replace('windows = ["1h", "24h", "7d"]', 'windows = ["2h"]')
    (tmp_path / "fraud.toml").write_text(text)
    inside(load_settings(tmp_path / "fraud.toml", {}), second)
