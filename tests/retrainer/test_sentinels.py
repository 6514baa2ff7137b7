"""From a set in the ledger to what is trained on and what the gate says, with real parts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fraud.errors import Damaged
from fraud.gate.verdict import judge
from fraud.retrainer.sentinels import SentinelDesk
from tests.retrainer.patterns import CHAMPION_DAY, DAYS, World, ids_of, with_champion

BURSTS = ids_of("burst", range(30, 35))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with_champion(folder)
    world = World(folder)
    world.pass_days(DAYS)
    world.close()
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[World]:
    """A folder in which the champion knows bursts, and the labels since then call them legitimate."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    opened = World(tmp_path)
    yield opened
    opened.close()


def freeze(world: World, pattern: str = "burst", ids: list[str] = BURSTS) -> None:
    desk = SentinelDesk.open(world.settings)
    assert desk.add("card", pattern, ids, actor="jane", reason="audit").sentinels is not None
    desk.close()


def test_polluted_labels_promote_a_challenger_that_forgot_and_sentinels_reject_it(world: World) -> None:
    without = world.judge(world.train())
    assert (without.outcome, without.way) == ("PROMOTE", "superiority")
    freeze(world)
    verdict = world.judge(world.train())
    assert (verdict.outcome, verdict.way) == ("REJECT", "")
    assert verdict.check("superiority").passed
    row = verdict.check("sentinel_burst")
    assert row.passed is False
    assert verdict.reason == row.reason
    assert row.reason.endswith("forgot 'burst'")


def test_a_challenger_trained_on_true_labels_keeps_what_the_champion_knew(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.pass_days(CHAMPION_DAY)
    freeze(world)
    world.crown(world.train())
    verdict = world.judge(world.train())
    assert verdict.check("sentinel_burst").passed
    assert verdict.outcome != "REJECT"
    world.close()


def test_sentinels_are_neither_trained_on_nor_evidence(world: World) -> None:
    before = world.training_set()
    freeze(world)
    after = world.training_set()
    positions = world.ledger.state().sentinels["card", "burst"].positions
    assert set(positions) <= set(before.position.tolist())
    assert set(before.position.tolist()) - set(after.position.tolist()) == set(positions)
    assert np.all(np.diff(after.position) > 0)
    assert after.manifest["rows"]["kept_aside"] - before.manifest["rows"]["kept_aside"] == 30
    labels = sum(batch["labels"] for batch in after.manifest["label_batches"])
    assert sum(batch["labels"] for batch in before.manifest["label_batches"]) - labels == 30
    judged = world.history().judged("card").collect()
    assert not set(judged["position"]) & set(positions)


def test_a_retired_set_is_learned_from_again(world: World) -> None:
    before = world.training_set()
    freeze(world)
    desk = SentinelDesk.open(world.settings)
    desk.retire("card", "burst", actor="jane", reason="superseded")
    desk.close()
    after = world.training_set()
    assert after.position.tolist() == before.position.tolist()
    assert after.manifest == before.manifest
    assert world.case(world.train()).sentinels == ()


def test_sentinels_behind_the_cut_count_all_the_same(world: World) -> None:
    freeze(world)
    version = world.train()
    whole = world.case(version)
    early = world.history_at(day=20)
    assert max(world.ledger.state().sentinels["card", "burst"].positions) > early.cut.position
    assert world.case(version, early).sentinels == whole.sentinels


def test_a_set_that_the_archive_lacks_stops_the_gate(world: World) -> None:
    version = world.train()
    shutil.rmtree(world.settings.places.archive)
    freeze(world)
    with pytest.raises(Damaged, match="30 of the 30 sentinels 'burst' of 'card' are not in the archive"):
        world.case(version, world.history_at(day=20))


def test_a_first_version_is_told_how_much_it_catches(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.pass_days(DAYS - 20)
    freeze(world)
    case = world.case(world.train())
    (count,) = case.sentinels
    assert (count.champion, count.then, count.needed) == (None, None, None)
    assert judge(case, world.settings.gate).check("sentinel_burst").passed is None
    world.close()
