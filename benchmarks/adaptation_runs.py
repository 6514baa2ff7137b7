"""The runs of the adaptation benchmark: each a process of its own, each written down when it ends.

    scenarios × rows ─ without those written before ─▶ processes, so many side by side ─▶ a file a run

A file tells what was played (row, scenario, days, commit, digest of what it is made of), so an interrupted
benchmark goes on with `--resume FOLDER`; a folder of other days, another configuration or others is refused.
"""

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.adaptation_online import is_installed
from benchmarks.adaptation_rows import (
    HARDENED,
    ON_REQUEST,
    ONLINE,
    SERVICE,
    UNDEFENDED,
    Played,
    play,
    rows_of,
)
from benchmarks.adaptation_worlds import POISONERS, Scenario, Sources, config_of
from benchmarks.report import commit
from benchmarks.workspace import workspace

_SLOW = (SERVICE, HARDENED, UNDEFENDED)


@dataclass(frozen=True, slots=True)
class Run:
    """One row in one scenario."""

    row: str
    scenario: Scenario

    @property
    def name(self) -> str:
        """Its permanent name, as a file name."""
        return f"{self.scenario.name.replace('/', '.')}.{self.row}"


class Results:
    """Finished runs, a JSON file each in a folder; `commits` are those of all that was read or written."""

    def __init__(self, folder: Path, sources: Sources) -> None:
        self._folder = folder
        self._days = sources.days
        self._strategies = sources.strategies
        self.commits: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, run: Run) -> Played | None:
        """Return what was written of a run, None if it has not ended.

        Raises:
            ValueError: it was played over other days, or is made of something else than now.
        """
        place = self._place(run)
        if not place.is_file():
            return None
        stored = json.loads(place.read_text(encoding="utf-8"))
        if stored["days"] != self._days:
            raise ValueError(
                f"{place}: was played over {stored['days']} days, not {self._days}; give another folder, "
                "or --days as then"
            )
        if stored.get("made_of", "") != self._digest(run):
            raise ValueError(
                f"{place}: was played with another {config_of(run.scenario.world).name}, or other "
                f"{run.scenario.attackers}; give another folder, or the files as then"
            )
        self.commits.add(stored["commit"])
        return Played.from_json(stored)

    def write(self, run: Run, played: Played, seconds: float) -> None:
        """Write a run down, whole or not at all."""
        place = self._place(run)
        stored: dict[str, Any] = {
            "days": self._days,
            "commit": commit(),
            "made_of": self._digest(run),
            "seconds": round(seconds, 1),
            **played.as_json(),
        }
        self.commits.add(stored["commit"])
        part = place.with_suffix(".part")
        part.write_text(json.dumps(stored), encoding="utf-8")
        part.replace(place)

    def _digest(self, run: Run) -> str:
        """Return the SHA-256 of what a run is made of: configuration, poisoner, file of strategies."""
        attackers, file = run.scenario.attackers, self._strategies
        parts = [config_of(run.scenario.world).read_bytes(), repr(POISONERS.get(attackers)).encode()]
        if file is not None and attackers == file.stem:
            parts.append(file.read_bytes())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def _place(self, run: Run) -> Path:
        return self._folder / f"{run.name}.json"


def runs_of(scenarios: Sequence[Scenario], rows: Sequence[str] | None) -> list[Run]:
    """Return the runs of scenarios, the slow ones first, of the rows named (None: all but `ON_REQUEST`)."""
    found = [
        Run(row, scenario)
        for scenario in scenarios
        for row in rows_of(scenario)
        if row in (rows if rows is not None else set(rows_of(scenario)) - set(ON_REQUEST))
        and (row != ONLINE or is_installed())
    ]
    return sorted(found, key=lambda run: run.row not in _SLOW)


def execute(runs: Sequence[Run], sources: Sources, results: Results, jobs: int) -> dict[Run, Played]:
    """Play what has not been played yet, `jobs` at a time, and return all of it.

    Raises:
        Unavailable: a service ended or hung; what had ended before is written.
    """
    done = {run: played for run in runs if (played := results.read(run)) is not None}
    left = [run for run in runs if run not in done]
    began = time.monotonic()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = {pool.submit(_played, run, sources): run for run in left}
        try:
            for number, ended in enumerate(as_completed(waiting), 1):
                run = waiting[ended]
                done[run], seconds = ended.result()
                results.write(run, done[run], seconds)
                at = time.monotonic() - began
                print(f"{at:6.0f} s  {number}/{len(left)}  {run.name}  {seconds:.0f} s", file=sys.stderr)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {run: done[run] for run in runs}


def _played(run: Run, sources: Sources) -> tuple[Played, float]:
    began = time.monotonic()
    with workspace(f"adaptation/{run.name}") as folder:
        played = play(run.row, run.scenario, sources, folder / "service")
    return played, time.monotonic() - began
