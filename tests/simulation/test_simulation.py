"""The whole service under faults, for about a minute; `make simulate` goes on for as long as wanted."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.disk import AIMED, KINDS, STORES
from tests.simulation.planted import PLANTED
from tests.simulation.promises import BrokenPromise
from tests.simulation.steps import STEPS
from tests.simulation.world import simulate

ROOT = Path(__file__).parents[2]
SEEDS = (1, 3, 17)
STEPS_EACH = 150
AUDITED = (4, 50)
"""Seed and steps of a run in which everything is looked at after each step."""
REPLAYED = (13, 60)
SEEDS_MAX = 16
"""Seeds within which a planted bug has to be found."""
TRIED_FIRST = {
    "a copy that forgets its position": 3,
    "a promote in two steps": 1,
}
"""The seed that finds a bug at present, to save time; the others are tried when it does not."""


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    """What happened in all runs of this file."""
    return {}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_whatever_fails(tmp_path: Path, seed: int, counts: dict[str, int]) -> None:
    for what, count in simulate(tmp_path, seed, STEPS_EACH).counts.items():
        counts[what] = counts.get(what, 0) + count


def test_every_promise_holds_after_each_step(tmp_path: Path, counts: dict[str, int]) -> None:
    seed, steps = AUDITED
    ran = simulate(tmp_path, seed, steps, audit_every=1)
    assert ran.counts["audited"] > steps
    for what, count in ran.counts.items():
        counts[what] = counts.get(what, 0) + count


def test_the_runs_have_met_every_step_and_every_way_to_die(counts: dict[str, int]) -> None:
    met = {name for name, _, _ in STEPS} | {"power cut", "killed scorer", "killed retrainer"}
    met |= {f"struck {kind}" for kind in KINDS}
    met |= {f"struck {kind}: {store}" for kind in AIMED for store in STORES} | {"worker lost"}
    met |= {"scored while training", "score: LOG_UNWRITABLE", "prune: to", "promote: raced:", "roll back: to"}
    met |= {"report: took", "list: block", "pruned early"}
    assert met - counts.keys() == set(), "change SEEDS: a run that never meets something tests nothing of it"


def _in_another_process(*given: str) -> subprocess.CompletedProcess[str]:
    """Run a simulation from the command line, where words hash to other numbers than here."""
    environment = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_seed_is_replayed_exactly(tmp_path: Path) -> None:
    seed, steps = REPLAYED
    here = simulate(tmp_path, seed, steps)
    there = _in_another_process("--seed", str(seed), "--steps", str(steps), "--trace")
    assert there.returncode == 0, there.stdout + there.stderr
    said = there.stdout.splitlines()
    assert said[1 : 1 + len(here.trace)] == list(here.trace)
    assert said[0].endswith(f" {here.digest}")


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_and_the_seed_named(tmp_path: Path, bug: str) -> None:
    first = TRIED_FIRST.get(bug, 1)
    for seed in [first, *(seed for seed in range(1, SEEDS_MAX + 1) if seed != first)]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        said = _said_by(folder, seed, bug)
        if said:
            assert re.search(PLANTED[bug].breaks, said.splitlines()[0]), said
            assert f"--seed {seed} --steps 120 --plant {shlex.quote(bug)}" in said.splitlines()[-1]
            return
    pytest.fail(f"{bug}: not found within {SEEDS_MAX} seeds")


def test_what_finds_a_bug_finds_it_again_from_the_command_line(tmp_path: Path) -> None:
    bug = "a promote in two steps"
    said = _said_by(tmp_path, TRIED_FIRST[bug], bug)
    again = shlex.split(said.splitlines()[-1].partition("tests.simulation ")[2])
    there = _in_another_process(*again)
    assert there.returncode == 1
    assert said in there.stdout


def _said_by(folder: Path, seed: int, bug: str) -> str:
    """Return what a simulation says of a broken promise; "" when all held."""
    try:
        simulate(folder, seed, 120, bug)
    except BrokenPromise as broken:
        return str(broken)
    return ""
