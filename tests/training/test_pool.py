import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from fraud.errors import ConfigError, Unavailable
from fraud.features.spec import FeatureSpec
from fraud.stopping import Stopped, Stopping
from fraud.training.challengers import Challenger, FailedRecipe, Progress, train_challengers, train_here
from fraud.training.pool import TrainingPool
from tests.training import worker_calls
from tests.training.made import made_set, made_settings
from tests.waiting import wait_until

pytestmark = pytest.mark.process

SETTINGS = made_settings(task_retries=1, niceness=7)
SPEC = FeatureSpec.of(SETTINGS)


@pytest.fixture(scope="module")
def pool() -> Iterator[TrainingPool]:
    with TrainingPool(SETTINGS.training) as started:
        yield started


def test_challengers_of_ray_workers_are_those_of_this_process_byte_for_byte(pool: TrainingPool) -> None:
    sets = {model: made_set(SETTINGS, model) for model in SETTINGS.models}
    here = train_here(sets, SPEC, SETTINGS, {})
    told: list[Progress] = []
    there = train_challengers(pool, sets, SPEC, SETTINGS, {}, told.append)
    assert [(r.model, r.recipe) for r in there] == [(r.model, r.recipe) for r in here]
    for one, other in zip(here, there, strict=True):
        assert isinstance(one, Challenger) == isinstance(other, Challenger)
        if isinstance(one, Challenger) and isinstance(other, Challenger):
            assert other.bundle.digest == one.bundle.digest
            other.bundle.self_test()
    assert [(p.done, p.total) for p in told] == [(i, 4) for i in range(1, 5)]


def test_a_failing_recipe_does_not_lose_the_others(pool: TrainingPool) -> None:
    recipes = {"short": {"kind": "full", "window": "1h"}, "full": {"kind": "full", "rounds": 3}}
    settings = made_settings(recipes=recipes)
    short, full = train_challengers(pool, {"card": made_set(settings)}, SPEC, settings, {})
    assert isinstance(short, FailedRecipe)
    assert isinstance(full, Challenger)


def test_a_task_whose_worker_is_killed_runs_again(pool: TrainingPool, tmp_path: Path) -> None:
    assert pool.run(worker_calls.die_once, tmp_path / "died") == "second life"


def test_a_task_that_keeps_killing_its_worker_is_given_up_and_named(pool: TrainingPool) -> None:
    with pytest.raises(Unavailable, match="1 retries did not help"):
        pool.run(worker_calls.die)


def test_an_exception_in_a_task_comes_back_as_itself(pool: TrainingPool) -> None:
    with pytest.raises(ValueError, match="not this"):
        pool.run(worker_calls.refuse, "not this")


def test_shared_arrays_are_read_in_place_and_cannot_be_changed(pool: TrainingPool) -> None:
    shared = pool.share(np.ones(100_000))
    outcomes = dict(pool.each([(worker_calls.total, (shared,))] * 3))
    assert outcomes == dict.fromkeys(range(3), (100_000.0, False))


def test_calls_leave_nothing_behind_in_ray(pool: TrainingPool) -> None:
    pool.run(worker_calls.niceness)
    before = exported()
    for _ in range(3):
        pool.run(worker_calls.niceness)
    assert exported() == before != []


def exported() -> list[bytes]:
    """Return the keys of the functions that the running Ray holds."""
    worker: Any = ray._private.worker.global_worker
    return sorted(worker.gcs_client.internal_kv_keys(b"RemoteFunction:", b"fun"))


def test_who_waits_for_a_task_goes_when_told_to_stop(
    pool: TrainingPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping, begun, end = Stopping(), tmp_path / "begun", tmp_path / "end"
    monkeypatch.setattr(pool, "_stopping", stopping)

    def tell() -> None:
        wait_until(begun.exists)
        stopping.set()

    teller = threading.Thread(target=tell)
    teller.start()
    with pytest.raises(Stopped):
        pool.run(worker_calls.hang, begun, end)
    end.touch()  # the worker is wanted for the next test
    teller.join()


def test_workers_run_at_low_priority(pool: TrainingPool) -> None:
    assert [pool.run(worker_calls.niceness) for _ in range(3)] == [7, 7, 7]


def test_a_task_larger_than_the_machine_is_refused_before_it_waits_for_ever() -> None:
    training = made_settings(cpus=1, cpus_per_task=2).training
    with pytest.raises(ConfigError, match=r"cpus_per_task: 2 is more than the 1 CPUs"):
        TrainingPool(training).__enter__()
