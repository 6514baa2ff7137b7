"""Hours of mixed load on scorer and retrainer: memory, file handles, threads and latency, slice by slice.

    python -m benchmarks.soak --minutes 120

payments, batches, labels, outcomes, queries, retrains, promotions and renewed identities all the time
(`soak_crowd`); the processes are looked at every second. The first quarter is warm-up: windows
fill, the log reaches its horizon and is pruned, Ray has started. Growth is the slope of resident
memory after it (Theil and Sen, with its 95 % interval), not what the ends happen to show.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from scipy.stats import theilslopes

from benchmarks.crash import kill_retrainer, start_retrainer
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.soak_crowd import BATCH, RETRAIN, STEP_US, SWAP, Crowd
from benchmarks.workspace import workspace
from fraud.client import Client, Credentials
from fraud.records import Label, LabelValue
from fraud.serving.identity_desk import IdentityDesk
from tests.serving.worlds import Process, Stream, settings_in, start, train_at_once

MINUTES, QUICK_MINUTES = 120.0, 0.6
SLICES = 16
FIRST_DAYS_ROWS = 4_000
LOOK_S = 1.0
CHAMPION_S = 300.0
MIB_PER_HOUR = {"scorer": 32.0, "retrainer": 96.0}
HANDLES_MORE = 8
P99_RATIO = 1.5
RIGHTS = ("scorer", "analyst", "operator", "auditor")


@dataclass
class Slice:
    """What was seen in one span of time; lists hold a value a look."""

    hours: list[float] = field(default_factory=list)
    rss_mib: dict[str, list[float]] = field(default_factory=dict)
    handles: dict[str, list[int]] = field(default_factory=dict)
    threads: dict[str, list[int]] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    calls: int = 0
    failed: int = 0

    def look(self, hours: float, processes: dict[str, psutil.Process]) -> None:
        """Take down what the processes hold now."""
        self.hours.append(hours)
        for name, process in processes.items():
            with process.oneshot():
                self.rss_mib.setdefault(name, []).append(process.memory_info().rss / 2**20)
                self.handles.setdefault(name, []).append(process.num_fds())
                self.threads.setdefault(name, []).append(process.num_threads())

    def percentile_ms(self, q: float) -> float:
        """Return a percentile of how long single payments took; NaN without any."""
        return float(np.percentile(self.latencies_ms, q)) if self.latencies_ms else float("nan")

    def row(self) -> dict[str, Any]:
        """Return a line of the table."""
        made: dict[str, Any] = {"until min": self.hours[-1] * 60}
        for name in self.rss_mib:
            made[f"{name} MiB"] = median(self.rss_mib[name])
            made[f"{name} files"] = max(self.handles[name])
            made[f"{name} threads"] = max(self.threads[name])
        made |= {"p50_ms": self.percentile_ms(50), "p99_ms": self.percentile_ms(99)}
        return made | {"calls": self.calls, "failed": self.failed}


def main() -> int:
    """Run from the command line."""
    made = parser(__doc__.partition("\n")[0])
    made.add_argument("--minutes", type=float, default=MINUTES)
    made.add_argument("--seed", type=int, default=1)
    given = made.parse_args()
    minutes = min(given.minutes, QUICK_MINUTES) if given.quick else given.minutes
    with workspace("soak") as folder:
        slices, crowd = soak(folder, minutes, given.seed)
    return finish(report_of(slices, crowd, minutes), given)


def soak(folder: Path, minutes: float, seed: int) -> tuple[list[Slice], Crowd]:
    """Run the service under load for so long; return what each slice of the time saw."""
    settings_in(folder)
    if minutes <= QUICK_MINUTES:
        train_at_once(folder)
    desk = IdentityDesk(folder / "identities.json", made_by="soak")
    token = desk.add("crowd", RIGHTS, now_us=1, expires_us=0)[1]
    stream = Stream(seed)
    with _processes(folder) as (scorer, retrainer):
        with Client(scorer.target, deadline_s=20, credentials=Credentials(token)) as client:
            _first_champion(client, stream)
        crowd = Crowd(folder, scorer.target, token, stream, seed, pace=1.0 if minutes > 5 else 10.0)
        watched = {"scorer": psutil.Process(scorer.child.pid), "retrainer": psutil.Process(retrainer.pid)}
        crowd.begin()
        try:
            slices = _watch(crowd, watched, minutes * 60)
        finally:
            crowd.end()
        slices[-1].latencies_ms += crowd.take()  # of calls that were under way
    return slices, crowd


@contextmanager
def _processes(folder: Path) -> Iterator[tuple[Process, subprocess.Popen[bytes]]]:
    scorer = start(folder, FRAUD__SERVER__IDENTITIES__FILE=str(folder / "identities.json"))
    retrainer = start_retrainer(folder)
    try:
        yield scorer, retrainer
    finally:
        kill_retrainer(retrainer)
        scorer.kill()


def _first_champion(client: Client, stream: Stream) -> None:
    for number in range(0, FIRST_DAYS_ROWS, BATCH):
        before = len(stream.frauds)
        client.score_batch(stream.take(BATCH, step_us=STEP_US))
        labels = [Label(it.transaction_id, LabelValue.FRAUD, stream.now_us) for it in stream.frauds[before:]]
        if labels:
            client.submit_labels(f"first-{number}", 0, "chargeback", "", labels)
    client.trigger_retrain("card", "first", "")
    end = time.monotonic() + CHAMPION_S
    while not client.get_champion("card").version:
        if time.monotonic() > end:
            raise RuntimeError(f"no champion within {CHAMPION_S:.0f} s; see retrainer.log")
        time.sleep(0.1)
    # The first look into the archive starts threads and opens handles that stay: once, so before it counts.
    client.get_lineage(version=client.get_champion("card").version)


def _watch(crowd: Crowd, watched: dict[str, psutil.Process], seconds: float) -> list[Slice]:
    began = time.monotonic()
    slices: list[Slice] = []
    calls = failed = 0
    for number in range(1, SLICES + 1):
        seen = Slice()
        passed = 0.0
        while passed < seconds * number / SLICES or (
            number == SLICES and _unfinished(crowd, passed - seconds)
        ):
            time.sleep(min(LOOK_S, seconds / SLICES / 4))
            passed = time.monotonic() - began
            seen.look(passed / 3_600, watched)
        seen.latencies_ms = crowd.take()
        calls, seen.calls = crowd.calls.total(), crowd.calls.total() - calls
        failed, seen.failed = crowd.failures.total(), crowd.failures.total() - failed
        slices.append(seen)
    return slices


def _unfinished(crowd: Crowd, over_s: float) -> bool:
    """Tell whether a short run has to go on a while: no version was promoted yet."""
    return over_s < CHAMPION_S and not crowd.calls[SWAP]


def report_of(slices: list[Slice], crowd: Crowd, minutes: float) -> Report:
    """Return the table, the bars and what was done."""
    report = Report(f"soak: {minutes:g} minutes of mixed load with retrains, promotions and new tokens")
    report.rows = [each.row() for each in slices]
    settled = slices[len(slices) // 4 :]
    for name, bound in MIB_PER_HOUR.items():
        low, slope, high = growth(settled, name)
        report.notes.append(
            f"{name}: {slope:+.1f} MiB an hour after warm-up, 95 % interval {low:+.1f} to {high:+.1f}"
        )
        report.bars.append(
            Bar(f"{name} memory, MiB an hour, upper end of the interval", high, bound, at_least=False)
        )
        first, last = max(settled[0].handles[name]), max(settled[-1].handles[name])
        more = float(last - first)
        report.bars.append(
            Bar(
                f"{name} file handles, last slice less first after warm-up",
                more,
                HANDLES_MORE,
                at_least=False,
            )
        )
    quarter = len(slices) // 4
    ratio = _p99(slices[-quarter:]) / _p99(slices[:quarter])
    report.bars.append(Bar("p99 of the last quarter ÷ the first", ratio, P99_RATIO, at_least=False))
    failed = float(crowd.failures.total())
    report.bars.append(Bar("calls that failed", failed, 0.0, at_least=False, fair_when_quick=True))
    report.notes.append(
        "calls: " + ", ".join(f"{name} {count:,}" for name, count in crowd.calls.most_common())
    )
    report.notes += [f"failed {count} ×: {what}" for what, count in crowd.failures.most_common(5)]
    if not (crowd.calls[SWAP] and crowd.calls[RETRAIN]):
        report.notes.append("no promotion or no retrain fell into this time")
    return report


def growth(slices: Sequence[Slice], name: str) -> tuple[float, float, float]:
    """Return the slope of a process's memory in MiB an hour: lower end, estimate, upper end of 95 %."""
    hours = np.concatenate([each.hours for each in slices])
    rss = np.concatenate([each.rss_mib[name] for each in slices])
    every = max(1, len(hours) // 1_000)
    slope, _, low, high = theilslopes(rss[::every], hours[::every], alpha=0.95)
    return float(low), float(slope), float(high)


def _p99(slices: Sequence[Slice]) -> float:
    return float(np.percentile([ms for each in slices for ms in each.latencies_ms], 99))


if __name__ == "__main__":
    sys.exit(main())
