"""Kills scorer and retrainer at random moments under load, and looks at what is left.

    python -m benchmarks.crash --rounds 20 --seed 1

    each round   start what is dead → payments, labels, outcomes, listings, retrains, promotions → SIGKILL
                 of scorer, retrainer or both after a random time → log, ledger, archive, bundles are read
    afterwards   start on the log that is left, twice and three times its length, with and without a snapshot

Lost: acknowledged and not there. Doubled: there twice, in log or archive. Unequal: state from the
newest snapshot is not the fold of the log from its start.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from benchmarks.crash_crowd import Crowd
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.workspace import workspace
from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import (
    EntityListed,
    Label,
    LabelsSubmitted,
    LabelValue,
    OutcomesReported,
    Scored,
)
from fraud.registry.store import LedgerStore
from fraud.serving.recovery import Snapshots, entries_after, restore
from fraud.settings import Settings, load_settings
from tests.serving.worlds import Process, Stream, settings_in, start

ROUNDS = 20
TIMES = (1, 2, 3)
"""Recovery is timed on logs so many times as long as the one that the rounds left."""
FIRST_DAYS, DAY_ROWS = 10, 400
WAIT_S = (0.3, 12.0)
"""A kill comes within this time after the clients have begun; a cycle takes a few seconds."""
CHAMPION_S = 180.0
BATCH = 50


@dataclass(frozen=True)
class Found:
    """What one look at the folder found; `behind` are the entries that the next start has to fold."""

    entries: int
    behind: int
    lost: int
    doubled: int
    unequal: int


def start_retrainer(folder: Path) -> subprocess.Popen[bytes]:
    """Start a watching retrainer; what it says goes to a file."""
    fraud = [sys.executable, "-m", "fraud.cli", "--config", str(folder / "fraud.toml")]
    with (folder / "retrainer.log").open("ab") as log:
        return subprocess.Popen(
            [*fraud, "retrain", "--watch"], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def kill_retrainer(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL it and its Ray, as the kernel does when a machine runs out of memory."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def fill(client: Client, stream: Stream, rows: int) -> None:
    """Score payments and label the frauds of each batch."""
    for _ in range(0, rows, BATCH):
        before = len(stream.frauds)
        client.score_batch(stream.take(BATCH, step_us=2 * 86_400_000_000 // DAY_ROWS))
        now_us = stream.now_us
        labels = [Label(it.transaction_id, LabelValue.FRAUD, now_us) for it in stream.frauds[before:]]
        if labels:
            client.submit_labels(f"fill-{stream.seed}-{stream.count}", 0, "chargeback", "bank", labels)


def look(settings: Settings, crowd: Crowd) -> Found:
    """Read everything that is left and count what is wrong.

    Raises:
        Damaged: a file is not what was written.
    """
    spec, rule = FeatureSpec.of(settings), ConflictRule.of(settings.labels)
    archive = open_archive(settings)
    names = settings.schema_.entity_names
    with closing(SqliteEventLog.open(settings.places.log, writable=False, entity_names=names)) as log:
        events = [entry.event for entry in entries_after(log, archive, 0, log.head())]
        payments = Counter(event.transaction_id for event in events if isinstance(event, Scored))
        parts = [event for event in events if isinstance(event, LabelsSubmitted)]
        batches = Counter(event.batch_id for event in parts)
        sizes = {event.batch_id: len(event.labels) for event in parts}
        reports = (event.reports for event in events if isinstance(event, OutcomesReported))
        outcomes = Counter(chain.from_iterable(reports))
        listings = Counter(event.reason for event in events if isinstance(event, EntityListed))
        snapshots = Snapshots(settings.places.state, settings.log.snapshots_kept)
        kept = snapshots.latest(spec, rule, log.head())
        state = restore(spec, rule, log, archive, snapshots).fold
        anew = restore(spec, rule, log, archive, Snapshots(settings.data_dir / "none", 1)).fold
        behind = log.head() - (0 if kept is None else kept.position)
    with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
        store.verify()
        promoted = {entry.seq for entry in store.read() if entry.kind == "Promoted"}
        versions = store.state().versions.values()
    for digest in {version.digest for version in versions}:
        BundleStore(settings.places.bundles).read(digest).self_test()
    lost = len(crowd.payments - payments.keys()) + len(crowd.promotions - promoted)
    lost += sum(sizes.get(name) != size for name, size in crowd.batches.items())
    lost += len(crowd.outcomes - outcomes.keys()) + len(crowd.listings - listings.keys())
    doubled = payments.total() - len(payments) + batches.total() - len(batches)
    doubled += outcomes.total() - len(outcomes) + listings.total() - len(listings)
    doubled += len(versions) - len({version.digest for version in versions})
    positions = archive.transactions().select(pl.len() - pl.col("position").n_unique()).collect().item()
    return Found(len(events), behind, lost, doubled + int(positions), int(not state.equals(anew)))


def rounds(folder: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Kill so often; return a row a round."""
    settings, random, crowd = settings_in(folder), Random(seed), Crowd()
    scorer, retrainer = start(folder), start_retrainer(folder)
    with scorer.client() as client:
        fill(client, Stream(seed=9), FIRST_DAYS * DAY_ROWS)
        client.trigger_retrain("card", "first", "benchmark")
        end = time.monotonic() + CHAMPION_S
        while not client.get_champion("card").version:
            if time.monotonic() > end:
                raise RuntimeError(f"no champion within {CHAMPION_S:.0f} s; see retrainer.log in {folder}")
            time.sleep(0.1)
    rows: list[dict[str, Any]] = []
    try:
        for number in range(1, count + 1):
            crowd.begin(folder, scorer.target, number, seed)
            waited_s = random.uniform(*WAIT_S)
            time.sleep(waited_s)
            victims = random.choice(("scorer", "scorer", "retrainer", "both"))
            if victims != "retrainer":
                scorer.kill()
            if victims != "scorer":
                kill_retrainer(retrainer)
            crowd.end()
            if victims == "retrainer":
                scorer.kill()  # after its clients are done: what it holds is looked at, too
            found = look(settings, crowd)
            began = time.perf_counter()
            scorer = start(folder)
            ready_s = time.perf_counter() - began
            if victims != "scorer":
                retrainer = start_retrainer(folder)
            rows.append(_row(f"round {number}", victims, waited_s, crowd, found, ready_s))
            print(f"round {number}: {victims} after {waited_s:.1f} s, {found}", file=sys.stderr, flush=True)
    finally:
        kill_retrainer(retrainer)
        scorer.kill()
    with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
        kinds = Counter(entry.kind for entry in store.read())
    ended = kinds["CycleFinished"] + kinds["CycleFailed"]
    rows.append({"what": "ledger", "killed": f"{kinds['Promoted']} promotions, {ended} cycles ended"})
    return rows


def _row(
    what: str, victims: str, waited_s: float, crowd: Crowd, found: Found, ready_s: float
) -> dict[str, Any]:
    return {
        "what": what,
        "killed": victims,
        "after s": waited_s,
        "acknowledged": crowd.acknowledged(),
        "entries": found.entries,
        "folded": found.behind,
        "lost": found.lost,
        "doubled": found.doubled,
        "unequal": found.unequal,
        "ready s": ready_s,
    }


def recoveries(folder: Path, times: tuple[int, ...]) -> list[dict[str, Any]]:
    """Time starts on logs so many times as long, from the newest snapshot and from nothing."""
    settings, stream, rows = load_settings(folder / "fraud.toml", {}), Stream(seed=10), []
    stream.skip_days(100)
    for length in [_head(settings) * each for each in times]:
        process = start(folder)
        with process.client() as client:
            while (lacking := length - _head(settings)) > 0:
                fill(client, stream, lacking)
        process.kill()
        for kept in (True, False):
            if not kept:
                for path in settings.places.state.iterdir():
                    path.unlink()
            rows.append(_start(folder, settings, "snapshot" if kept else "none"))
    return rows


def _start(folder: Path, settings: Settings, snapshot: str) -> dict[str, Any]:
    entries = _head(settings)
    # Drafts of a snapshot that was being written lie beside them.
    whole = Snapshots(settings.places.state, settings.log.snapshots_kept).paths()
    newest = int(whole[0].stem.rpartition("-")[2]) if whole else 0
    began = time.perf_counter()
    process: Process = start(folder)
    ready_s = time.perf_counter() - began
    process.kill()
    return {
        "what": "start",
        "killed": snapshot,
        "entries": entries,
        "folded": entries - newest,
        "ready s": ready_s,
    }


def _head(settings: Settings) -> int:
    names = settings.schema_.entity_names
    with closing(SqliteEventLog.open(settings.places.log, writable=False, entity_names=names)) as log:
        return log.head()


def run(count: int, seed: int, *, quick: bool) -> Report:
    """Run the benchmark."""
    with workspace("crash") as folder:
        killed = rounds(folder, count, seed)
        started = recoveries(folder, TIMES[:1] if quick else TIMES)
    report = Report(f"Killed {count} times under load, seed {seed}", rows=[*killed, *started])
    for name in ("lost", "doubled", "unequal"):
        total = sum(row.get(name, 0) for row in killed)
        report.bars.append(Bar(f"{name} in all rounds", total, 0, at_least=False, fair_when_quick=True))
    report.notes.append(
        "acknowledged: payments, label batches, outcomes, listings, promotions, of all rounds"
    )
    report.notes.append("ready s: from the start of the process, imports included, to its first answer")
    return report


def main() -> int:
    """Run from the command line."""
    made = parser("SIGKILL of scorer and retrainer at random moments under load.")
    made.add_argument("--rounds", type=int, default=ROUNDS)
    made.add_argument("--seed", type=int, default=1)
    arguments: argparse.Namespace = made.parse_args()
    count = min(arguments.rounds, 3) if arguments.quick else arguments.rounds
    return finish(run(count, arguments.seed, quick=arguments.quick), arguments)


if __name__ == "__main__":
    sys.exit(main())
