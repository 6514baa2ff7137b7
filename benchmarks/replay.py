"""Weeks of the Handbook's payments through the running service, the retrainer beside it.

    import of the weeks before ─▶ first champion ─▶ scorer and retrainer as processes
      each day:   ScoreBatch in order of time; frauds of seven days ago through LabelService
      each week:  TriggerRetrain, wait for its verdicts and for the swap
      afterwards: weekly average precision of the scores given, beside the first champion's

Time follows the log, so nothing depends on how fast the machine is: two runs have to
promote the same sequence; they run side by side. The never-retrained model scores the same archived features.
`--quick` streams two weeks, retrains twice, and runs once.
"""

import argparse
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.processes import is_healthy, running
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.stream import (
    BATCH_ROWS,
    LABEL_DELAY_US,
    calls_of,
    frauds_due,
    messages_of,
    of_day,
    read_payments,
    submit,
)
from benchmarks.workspace import workspace
from fraud.adversary.stage import free_port
from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.evaluation.metrics import average_precision
from fraud.eventlog.folder import open_log
from fraud.features.archive import open_archive
from fraud.records import LabelValue
from fraud.registry.store import LedgerStore
from fraud.retrainer.daemon import run_once
from fraud.retrainer.matrices import matrix_of
from fraud.serving.history import import_history
from fraud.settings import Settings, load_settings
from fraud.v1 import models_pb2

START = np.datetime64("2018-07-02", "us").astype(np.int64)
RETRAIN_PATIENCE_S = 600.0
_POLL_S = 0.05


@dataclass
class Run:
    """What one run gave: promotions in order, verdicts by week, figures."""

    promotions: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    cycles: int = 0
    cycles_concluded: int = 0
    rows: int = 0
    failed: int = 0
    seconds_scoring: float = 0.0
    seconds_retraining: float = 0.0
    missing: int = 0
    repeated: int = 0
    weekly: list[dict[str, float | str]] = field(default_factory=list)


def main() -> int:
    """Run the replay, once or twice, and print the weeks."""
    arguments = _arguments()
    if not is_there(arguments.data):
        return 2
    weeks = 2 if arguments.quick else arguments.weeks
    numbers = range(1 if arguments.quick else 2)
    with ProcessPoolExecutor(len(numbers), mp_context=get_context("spawn")) as pool:
        started = [pool.submit(_run, n, arguments.data, weeks, quick=arguments.quick) for n in numbers]
        runs = [run.result() for run in started]
    return finish(_report(runs, weeks), arguments)


def _arguments() -> argparse.Namespace:
    made = parser("Stream Handbook payments through the running service while it retrains.")
    take_data(made)
    made.add_argument("--weeks", type=int, default=8, help="weeks to stream, at least 8 for the bars")
    return made.parse_args()


def _run(number: int, data: Path, weeks: int, *, quick: bool) -> Run:
    with workspace(f"replay-{number}") as folder:
        return _run_in(folder, data, weeks, quick=quick)


def _run_in(folder: Path, data: Path, weeks: int, *, quick: bool) -> Run:
    settings = _configure(folder, free_port(), quick=quick)
    _say("importing the weeks before")
    import_history(settings, data, until_us=int(START))
    _say("first champion")
    run_once(settings, (), "the imported weeks", "benchmark")
    config = str(folder / "fraud.toml")
    run = Run()
    scorer = [sys.executable, "-m", "fraud.cli", "--config", config, "serve"]
    retrainer = [sys.executable, "-m", "fraud.cli", "--config", config, "retrain", "--watch"]
    port = settings.server.port
    with (
        running("scorer", scorer, port, log=folder / "scorer.log", ready=is_healthy),
        running("retrainer", retrainer, port, log=folder / "retrainer.log", ready=is_healthy),
        Client(f"127.0.0.1:{port}", deadline_s=60) as client,
    ):
        _stream(client, data, weeks, run)
    _judge(settings, data, run)
    return run


def _configure(folder: Path, port: int, *, quick: bool) -> Settings:
    """Write the Handbook's configuration, on the log clock and retraining only when asked."""
    text = CONFIG.read_text(encoding="utf-8")
    (folder / "fraud.toml").write_text(text, encoding="utf-8")
    environment = {
        "FRAUD__SERVICE__CLOCK": "log",
        "FRAUD__SERVER__PORT": str(port),
        "FRAUD__MONITORING__SCORER_PORT": "-1",
        "FRAUD__MONITORING__RETRAINER_PORT": "-1",
        "FRAUD__TRAINING__TRIGGERS__EVERY": "10000d",
    }
    if quick:
        environment["FRAUD__TRAINING__RECIPES__FULL__ROUNDS"] = "30"
        environment["FRAUD__TRAINING__RECIPES__RECENT__ROUNDS"] = "30"
    os.environ.update(environment)
    return load_settings(folder / "fraud.toml", environment)


def _stream(client: Client, data: Path, weeks: int, run: Run) -> None:
    first = int(START) - LABEL_DELAY_US
    payments = read_payments(data, first, int(START) + weeks * 7 * DAY_US)
    for day in range(weeks * 7):
        start_us = int(START) + day * DAY_US
        due = frauds_due(payments, start_us)
        submit(
            client, f"frauds-{start_us // DAY_US}", "chargeback", "import", due, LabelValue.FRAUD, start_us
        )
        began = time.perf_counter()
        for batch in calls_of(messages_of(of_day(payments, start_us))):
            results = client.score_batch(batch)
            run.rows += len(results)
            run.failed += sum(not result.HasField("decision") for result in results)
        run.seconds_scoring += time.perf_counter() - began
        if day % 7 == 6:
            _retrain(client, run)
            _say(f"week {day // 7 + 1}: {run.verdicts[-1]}")


def _retrain(client: Client, run: Run) -> None:
    began = time.perf_counter()
    seq = client.trigger_retrain("", "end of the week", "benchmark")
    pause = threading.Event()
    while True:
        reply = client.get_retrain(seq)
        done = reply.state == models_pb2.GetRetrainResponse.FINISHED
        if reply.state == models_pb2.GetRetrainResponse.FAILED or (done and reply.applied):
            break
        if time.perf_counter() - began > RETRAIN_PATIENCE_S:
            raise RuntimeError(f"retrain {seq} did not end; see retrainer.log")
        pause.wait(_POLL_S)
    run.seconds_retraining += time.perf_counter() - began
    run.cycles += 1
    given = [verdict for verdict in reply.verdicts if verdict.version]
    run.cycles_concluded += bool(given)
    run.verdicts.append(", ".join(f"{it.version} {it.verdict}" for it in given) or reply.text)


def _judge(settings: Settings, data: Path, run: Run) -> None:
    """Copy the rest into the archive, then compare what was given with the first champion."""
    log = open_log(settings)
    archive = open_archive(settings)
    archive.copy_from(log)
    log.close()
    scored = archive.transactions().filter(~pl.col("imported")).sort("position").collect()
    run.missing = run.rows - scored["transaction_id"].n_unique()
    run.repeated = len(scored) - scored["transaction_id"].n_unique()
    store = LedgerStore.open(settings.places.ledger, writable=False)
    entries = [entry for entry in store.read() if entry.kind == "Promoted"]
    state = store.state()
    store.close()
    run.promotions = [f"{e.body['version']} {state.version(e.body['version']).digest[:12]}" for e in entries]
    first = BundleStore(settings.places.bundles).read(state.version(entries[0].body["version"]).digest)
    never = first.scores_of(matrix_of(first, scored))
    run.weekly = _weekly(scored, data, never)


def _weekly(scored: pl.DataFrame, data: Path, never: NDArray[np.float64]) -> list[dict[str, float | str]]:
    truth = pl.read_parquet(data, columns=["TRANSACTION_ID", "TX_FRAUD"]).with_columns(
        pl.col("TRANSACTION_ID").cast(pl.String)
    )
    fraud = scored.join(
        truth, left_on="transaction_id", right_on="TRANSACTION_ID", maintain_order="left", how="left"
    )
    is_fraud = (fraud["TX_FRAUD"] == 1).to_numpy()
    week = ((scored["event_time_us"] - int(START)) // (7 * DAY_US)).to_numpy()
    given = scored["score"].to_numpy()
    rows: list[dict[str, float | str]] = []
    for number in np.unique(week):
        at = week == number
        ones = np.ones(int(at.sum()))
        rows.append(
            {
                "week": f"{int(number) + 1}",
                "rows": float(at.sum()),
                "frauds": float(is_fraud[at].sum()),
                "AP service": average_precision(is_fraud[at], given[at], ones),
                "AP never retrained": average_precision(is_fraud[at], never[at], ones),
            }
        )
    return rows


def _report(runs: list[Run], weeks: int) -> Report:
    run = runs[0]
    service = float(np.mean([row["AP service"] for row in run.weekly]))
    never = float(np.mean([row["AP never retrained"] for row in run.weekly]))
    same = all(other.promotions == run.promotions for other in runs)
    bars = [
        Bar(
            "cycles that ended in a verdict, share",
            run.cycles_concluded / run.cycles,
            1.0,
            fair_when_quick=True,
        ),
        Bar("mean weekly AP − never retrained", service - never, -0.01),
        Bar("acknowledged and not in the archive", run.missing, 0, at_least=False, fair_when_quick=True),
        Bar("in the archive more than once", run.repeated, 0, at_least=False, fair_when_quick=True),
        Bar("failed requests", run.failed, 0, at_least=False, fair_when_quick=True),
        Bar("weeks streamed", weeks, 8),
    ]
    if len(runs) > 1:
        bars.append(Bar("runs that promote the same sequence", float(same), 1.0))
    rows = [{**row, "verdicts": text} for row, text in zip(run.weekly, run.verdicts, strict=True)]
    return Report(
        f"{weeks} weeks of Handbook payments through the running service",
        rows,
        bars,
        [
            f"mean weekly AP: service {service:.4f}, never retrained {never:.4f}",
            f"promotions: {'; '.join(run.promotions)}",
            (
                f"throughput: {run.rows / run.seconds_scoring:,.0f} rows a second in calls of {BATCH_ROWS}, "
                "one call at a time, the other run beside it; a retrain takes "
                f"{run.seconds_retraining / run.cycles:.1f} s"
            ),
        ],
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
