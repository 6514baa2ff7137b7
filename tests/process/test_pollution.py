"""Rollback, exclusion and their repair on a real service with a polluted champion."""

import threading
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow
from fraud.v1 import models_pb2
from tests.process import polluted
from tests.process.polluted import BAD, SEED, copy, in_force, model_of, replays, state_of
from tests.process.test_loop import CYCLE_S, FINISHED, probing, retraining, wait_for
from tests.serving.worlds import START_S, START_US, Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process
Selection = models_pb2.Selection


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return polluted.shared(tmp_path_factory)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return copy(made, tmp_path)


def later(folder: Path) -> Stream:
    """Payments after those of the made folder."""
    del folder
    stream = Stream(seed=SEED + 1)
    stream.skip_days(13)
    return stream


def test_a_rollback_serves_at_once_can_be_repeated_and_taken_back(folder: Path) -> None:
    stream = later(folder)
    with (
        serving(folder) as process,
        process.client() as client,
        retraining(folder),
        probing(process) as probe,
    ):
        wait_until(lambda: "card-2" in probe.versions, "payments scored by card-2")
        running = client.trigger_retrain("card", "a retrain runs meanwhile", "test")
        plan = client.rollback("card", version="card-1", dry_run=True, actor="ann", reason="look")
        assert (plan.from_version, plan.to_version, plan.ledger_seq) == ("card-2", "card-1", 0)
        assert [forecast.view for forecast in plan.forecasts] == ["now", "all labels"]
        assert all(forecast.rows > 0 for forecast in plan.forecasts)
        assert client.get_champion("card").version == "card-2", "a dry run changes nothing"

        done = client.rollback("card", version="card-1", actor="ann", reason="card-2 misses frauds")
        assert done.applied
        decision = client.score(stream.next())
        assert (decision.version, decision.policy_version) == ("card-1", done.policy_version)
        with pytest.raises(NotAllowedNow, match="champion of 'card' already"):
            client.rollback("card", version="card-1", actor="ann", reason="twice")
        wait_until(lambda: "card-1" in probe.versions, "payments scored by card-1")

        back = client.rollback("card", version="card-2", actor="ann", reason="it was not the model")
        assert back.applied
        assert client.score(stream.next()).version == "card-2"
        assert wait_for(client, running).state == FINISHED
        probe.stop()
        assert not probe.failures
        process.stop()
    history = [reign.version for reign in state_of(folder).reigns("card")]
    assert history[:4] == ["card-1", "card-2", "card-1", "card-2"]
    assert replays(folder)


def test_a_rollback_to_before_a_moment_mutes_labels_and_undoing_brings_them_back(folder: Path) -> None:
    stream = later(folder)
    with serving(folder) as process, process.client() as client:
        bad = [batch for batch in client.list_batches().batches if batch.batch_id == BAD]
        since_us = bad[0].arrival_time_us
        served = client.get_champion("card").since_us
        plan = client.rollback(
            "card", before_us=served, mute_labels_since_us=since_us, dry_run=True, actor="ann", reason="look"
        )
        assert [forecast.view for forecast in plan.forecasts] == ["now", "all labels", "labels muted"]
        assert plan.muted_labels >= sum(batch.legitimates for batch in bad)
        done = client.rollback(
            "card", before_us=served, mute_labels_since_us=since_us, actor="ann", reason="a bad label file"
        )
        assert (done.to_version, done.applied, done.mute_seq) == ("card-1", True, done.ledger_seq)
        assert in_force(client, done.mute_seq)
        assert not client.get_version("card-2").version.tainted_by, "muting condemns nobody"
        client.score_batch(stream.take(50))
        client.undo_exclusion(done.mute_seq, actor="ann", reason="reviewed")
        client.score_batch(stream.take(50))
        process.stop()
    assert replays(folder)


def test_what_is_retrained_after_an_exclusion_is_what_the_data_never_existed_gives(
    folder: Path, tmp_path: Path
) -> None:
    with serving(folder) as process, process.client() as client:
        plan = client.exclude(Selection(batch_id=BAD), dry_run=True, actor="ann", reason="look")
        assert plan.exclusion_seq == 0
        assert list(plan.tainted) == ["card-2"]
        done = client.exclude(Selection(batch_id=BAD), no_retrain=True, actor="ann", reason="mallory's file")
        assert [(it.from_version, it.to_version) for it in done.replacements] == [("card-2", "card-1")]
        assert client.get_champion("card").version == "card-1"
        assert in_force(client, done.exclusion_seq)
        with pytest.raises(NotAllowedNow, match="tainted"):
            client.rollback("card", version="card-2", actor="ann", reason="back")
        process.stop()
    assert replays(folder)
    # Both worlds are trained at the end of the same days.
    clean = tmp_path / "clean"
    clean.mkdir()
    polluted.make(clean, polluted=False)
    for place in (folder, clean):
        with serving(place) as process, process.client() as client, retraining(place):
            stream = Stream(seed=99)
            stream.skip_days(14)
            client.score_batch(stream.take(50))
            assert wait_for(client, client.trigger_retrain("card", "compare", "test")).state == FINISHED
            process.stop()
    repaired, never = state_of(folder), state_of(clean)
    newest = list(repaired.versions)[-1]
    assert repaired.version(newest).manifest["exclusions"] == [{"what": "labels", "batch_id": BAD}]
    assert not repaired.tainted_by(newest)
    assert model_of(folder, newest) == model_of(clean, list(never.versions)[-1])
    assert model_of(folder, newest) != model_of(folder, "card-2")


def test_excluded_transactions_leave_the_state_while_scoring_goes_on(folder: Path) -> None:
    stream = later(folder)
    with (
        serving(folder, FRAUD__MODELS__CARD__NO_CLEAN_CHAMPION="NONE") as process,
        process.client() as client,
        probing(process) as probe,
    ):
        span = Selection(transactions=True, from_us=START_US + 2 * DAY_US, to_us=START_US + 4 * DAY_US)
        done = client.exclude(span, no_retrain=True, actor="ann", reason="an outage")
        assert done.transactions > 100
        wait_until(lambda: in_force(client, done.exclusion_seq), "the exclusion in force")
        wait_until(lambda: client.get_champion("card").version == "", "no champion: both learned from it")
        client.score_batch(stream.take(50))
        seq = client.undo_exclusion(done.exclusion_seq, actor="ann", reason="it was real traffic").ledger_seq
        wait_until(lambda: client.get_history().entries[0].ledger_seq == seq, "the exclusion out of force")
        client.score_batch(stream.take(50))
        probe.stop()
        assert not probe.failures
        process.kill()
    with serving(folder) as process, process.client() as client:
        client.score_batch(stream.take(20))
        process.stop()
    assert replays(folder)


def test_a_tainted_champion_serves_until_a_clean_version_has_passed_the_floors(folder: Path) -> None:
    stream = later(folder)
    with serving(folder) as process, process.client() as client, retraining(folder):

        def served() -> str:
            decision = client.score(stream.next(step_us=2))
            assert decision.version in ("card-2", "card-3"), "there always is one"
            assert ("TAINTED_CHAMPION" in decision.limits) == (decision.version == "card-2")
            return decision.version

        span = Selection(transactions=True, from_us=START_US + 2 * DAY_US, to_us=START_US + 4 * DAY_US)
        done = client.exclude(span, actor="ann", reason="an outage")
        assert [(it.from_version, it.to_version) for it in done.replacements] == [("card-2", "card-2")]
        wait_until(lambda: served() == "card-3", "a clean champion", timeout_s=CYCLE_S)
        process.stop()
    state = state_of(folder)
    (verdict,) = state.version("card-3").verdicts
    assert (verdict.verdict, verdict.way, verdict.against) == ("PROMOTE", "floors", "card-2")
    assert not state.tainted_by("card-3")
    assert replays(folder)


def test_a_retracted_batch_counts_no_more_and_replays(folder: Path) -> None:
    stream = later(folder)
    with serving(folder) as process, process.client() as client:
        before = client.score_batch(stream.take(20))
        assert all(result.HasField("decision") for result in before)
        reply = client.retract_batch(BAD, "mallory", "wrong column")
        assert reply.labels > 0
        assert list(reply.versions) == ["card-2"]
        assert client.retract_batch(BAD, "mallory", "wrong column").repeated
        client.score_batch(stream.take(50))
        process.kill()
    with serving(folder) as process, process.client() as client:
        client.score_batch(stream.take(20))
        process.stop()
    assert replays(folder)


def test_calls_at_once_roll_back_only_once(folder: Path) -> None:
    with serving(folder) as process:
        outcomes: list[str] = []

        def roll_back() -> None:
            with process.client() as client:
                try:
                    client.rollback("card", version="card-1", actor="ann", reason="race")
                    outcomes.append("done")
                except NotAllowedNow:
                    outcomes.append("refused")

        threads = [threading.Thread(target=roll_back, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(START_S)
        process.stop()
    assert sorted(outcomes) == ["done"] + ["refused"] * 5
    assert [reign.version for reign in state_of(folder).reigns("card")] == ["card-1", "card-2", "card-1"]
