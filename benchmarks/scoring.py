"""How fast the scoring service answers, beside what else there is.

    closed loop   1, 16, 64, 256 in flight: a no-op echo · this service · MLServer · Ray Serve
    open loop     half of what 64 in flight reach, without and with a retrain beside
    ScoreBatch    rows a second
    memory        resident bytes per million entities
    variants      the service with versions in shadow, without metrics, and with identities, taking turns

Each server has core 0 to itself and the load generator core 1; Ray Serve, which is
several processes, may use both and is better for it. Echo, service and MLServer
stand by together and take turns, so that a slow minute of the machine hits all of
them; Ray Serve is busy even when idle and runs alone. Figures are medians over
rounds. The service computes and folds 48 features, predicts, and logs durably; the
peers are handed the 48 features and only predict; the echo does nothing.

In the open loop nothing is pinned: server, retrain and load share the machine as
they would in operation. CPU per request is what the server's processes used in
user and system time, divided by the requests answered.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import bulk, echo, retraining
from benchmarks.fixture import VERSION, Service, add_challengers, make_service, score_templates
from benchmarks.load import Load, Plan, drive
from benchmarks.peers import mlserver, rayserve
from benchmarks.peers.environments import MLSERVER, RAYSERVE
from benchmarks.processes import Server, is_connectable, is_healthy, running
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.workspace import workspace
from fraud.adversary.stage import free_port
from fraud.serving.identity_desk import IdentityDesk
from fraud.v1 import scoring_pb2 as pb

SERVER_CORE, LOAD_CORE = 0, 1
TEMPLATES = 20_000
ECHO, OURS = "echo", "fraud"


@dataclass(frozen=True)
class Size:
    """How long and how often to measure."""

    rounds: int
    seconds: float
    warm_up: float
    levels: tuple[int, ...]
    open_seconds: float
    batches: int
    entities: int
    variant_rounds: int


FULL = Size(5, 3.0, 1.0, (1, 16, 64, 256), 15.0, 60, 200_000, 4)
QUICK = Size(1, 1.0, 0.3, (1, 64), 2.0, 6, 10_000, 1)
SHADOWS = (1, 3)
VARIANT_LEVEL = 64
RAW_SCORES, BANDS = "raw scores", "bands"


@dataclass(frozen=True)
class Contestant:
    """A running server with the messages it takes."""

    server: Server
    path: str
    templates: Sequence[bytes]
    check: Callable[[bytes], object]


@dataclass
class Figures:
    """Measured runs of one server at one level; the properties are medians."""

    loads: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return median(load.per_second for load in self.loads)

    @property
    def cpu(self) -> float:
        """Server CPU per request, microseconds."""
        return median(self.cpu_us)

    def percentile_ms(self, q: float) -> float:
        """Latency percentile, milliseconds."""
        return median(load.percentile_ms(q) for load in self.loads)

    @property
    def failed(self) -> int:
        """Calls that did not end with OK, all runs."""
        return sum(load.failed for load in self.loads)


Table = dict[tuple[str, int], Figures]


def main() -> int:
    """Measure and report."""
    arguments = parser(__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, help="of the closed loop")
    arguments.add_argument("--folder", type=Path, help="data folder; on the disk whose fsync counts")
    given = arguments.parse_args()
    size = QUICK if given.quick else FULL
    report = Report("scoring: 48 features, 200 trees of depth 6, durable log")
    with workspace("scoring", given.folder) as folder:
        service = make_service(folder / "service", free_port(), rows=10_000 if given.quick else 40_000)
        table = closed_loop(service, folder, size, given, report)
        ratio = open_loop(service, folder, size, table[OURS, 64].per_second, report)
        rest(service, folder, size, report)
        variants(service, folder, size, report)
        report.notes.append(f"data folder on {_file_system(folder)}")
    report.bars = bars(table, ratio)
    return finish(report, given)


def closed_loop(
    service: Service, folder: Path, size: Size, given: argparse.Namespace, report: Report
) -> Table:
    """Let the servers take turns at each level; add a row for each."""
    table: Table = {}
    rounds = given.rounds or size.rounds
    with ExitStack() as stack:
        contestants = [stack.enter_context(echoing(folder)), stack.enter_context(serving(service, folder))]
        if MLSERVER.is_made and not given.quick:
            peer = stack.enter_context(mlserver.serve(service.booster, folder / "mlserver", SERVER_CORE))
            rows = service.matrix[:1_000]
            contestants.append(Contestant(peer, mlserver.PATH, mlserver.templates(rows), mlserver.prediction))
        _take_turns(contestants, size, rounds, table)
    if RAYSERVE.is_made and not given.quick:
        with rayserve.serve(service.booster, folder / "rayserve", None) as peer:
            templates = rayserve.templates(service.matrix[:1_000])
            contestant = Contestant(peer, rayserve.PATH, templates, rayserve.prediction)
            _take_turns([contestant], size, rounds, table)
    for absent in (MLSERVER, RAYSERVE):
        if given.quick:
            report.notes.append(f"{absent.name}: left out of a quick run")
        elif not absent.is_made:
            report.notes.append(
                f"{absent.name}: not installed; python -m benchmarks.peers make {absent.name}"
            )
    report.rows += [row_of(name, f"{level} in flight", figures) for (name, level), figures in table.items()]
    return table


def _take_turns(contestants: list[Contestant], size: Size, rounds: int, table: Table) -> None:
    for round_ in range(rounds):
        for level in size.levels:
            plan = {"in_flight": level, "seconds": size.seconds, "warm_up": size.warm_up, "core": LOAD_CORE}
            for contestant in contestants:
                figures = table.setdefault((contestant.server.name, level), Figures())
                measure(contestant, figures, seed=round_, **plan)


def measure(contestant: Contestant, figures: Figures, **plan: Any) -> None:
    """Run one plan against a server and take its figures down."""
    server = contestant.server
    before = server.cpu_seconds()
    load = drive(Plan(server.address, contestant.path, **plan), contestant.templates)
    used = server.cpu_seconds() - before
    if not load.answered_in_all or load.failed == load.answered_in_all:
        raise RuntimeError(f"{server.name}: {load.failed} of {load.answered_in_all} calls failed")
    contestant.check(bytes.fromhex(load.sample[-1]))
    figures.loads.append(load)
    figures.cpu_us.append(used / load.answered_in_all * 1e6)


@contextmanager
def echoing(folder: Path) -> Iterator[Contestant]:
    """Run the echo on its core."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.echo", "--port", str(port)]
    log = folder / "echo.log"
    with running(ECHO, command, port, log=log, ready=is_connectable, core=SERVER_CORE) as server:
        yield Contestant(server, echo.PATH, score_templates(TEMPLATES), pb.ScoreResponse.FromString)


@contextmanager
def serving(
    service: Service,
    folder: Path,
    core: int | None = SERVER_CORE,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Contestant]:
    """Run the service under test."""
    port = service.settings.server.port
    command = service.command(sys.executable)
    log = folder / "fraud.log"
    with running(
        OURS, command, port, log=log, ready=is_healthy, core=core, environment=environment
    ) as server:
        yield Contestant(server, echo.PATH, score_templates(TEMPLATES), _check_ours)


def _check_ours(answer: bytes) -> None:
    decision = pb.ScoreResponse.FromString(answer).decision
    if decision.version != VERSION or not 0 < decision.score < 1:
        raise RuntimeError(f"the champion did not score: {decision}")


def open_loop(service: Service, folder: Path, size: Size, reached: float, report: Report) -> float:
    """Offer half the load that was reached, alternately without and with a retrain; return p99 ÷ p99."""
    without, with_retrain = Figures(), Figures()
    plan: dict[str, Any] = {"rate": reached / 2, "seconds": size.open_seconds, "warm_up": size.warm_up}
    with serving(service, folder, core=None) as ours:
        for seed in range(max(1, size.rounds // 2 + 1)):
            measure(ours, without, seed=seed, **plan)
            with retraining.beside(service.settings.training.niceness):
                measure(ours, with_retrain, seed=seed, **plan)
    rate = f"open, {reached / 2:,.0f}/s"
    report.rows.append(row_of(OURS, rate, without))
    report.rows.append(row_of(OURS, f"{rate}, retrain beside", with_retrain))
    return with_retrain.percentile_ms(99) / without.percentile_ms(99)


def rest(service: Service, folder: Path, size: Size, report: Report) -> None:
    """Measure `ScoreBatch` and memory; add a row for each."""
    with serving(service, folder, core=None) as ours:
        rows_per_second = bulk.rows_per_second(ours.server.address, size.batches)
        bytes_each = bulk.bytes_per_entity(ours.server, size.entities)
    report.rows.append(
        {"server": OURS, "load": f"ScoreBatch of {bulk.BATCH_ROWS} rows", "per_second": rows_per_second}
    )
    report.notes.append(
        f"memory: {bytes_each * 1e6 / 2**20:,.0f} MiB resident per million entities "
        f"(state and tokens; measured over {size.entities:,} new cards, merchants and devices each)"
    )


def variants(service: Service, folder: Path, size: Size, report: Report) -> None:
    """Measure what shadows, metrics and identities cost: each for one run, in turns; add a row for each."""
    add_challengers(service, max(SHADOWS))
    environments = {"champion alone": {"FRAUD__GATE__SHADOW__CHALLENGERS": "0"}}
    environments["champion alone, nothing counted"] = {
        **environments["champion alone"],
        "FRAUD__MONITORING__COUNTING": "false",
    }
    for count in SHADOWS:
        environments[f"{count} in shadow"] = {"FRAUD__GATE__SHADOW__CHALLENGERS": str(count)}
    tokens = {}
    for right in (RAW_SCORES, BANDS):
        name = f"champion alone, a token, {right}"
        tokens[name] = _let_in(folder / "identities.json", right)
        environments[name] = {
            **environments["champion alone"],
            "FRAUD__SERVER__IDENTITIES__FILE": str(folder / "identities.json"),
            "FRAUD__SERVER__RATES__ROWS_PER_SECOND": "1e6",
        }
    table = {name: Figures() for name in environments}
    for round_ in range(size.variant_rounds):
        for name, environment in environments.items():
            with serving(service, folder, environment=environment) as ours:
                plan = {"in_flight": VARIANT_LEVEL, "seconds": size.seconds, "warm_up": size.warm_up}
                given = replace(ours, check=_check_banded) if name.endswith(BANDS) else ours
                token = tokens.get(name, "")
                measure(given, table[name], seed=round_, core=LOAD_CORE, token=token, **plan)
    alone = table["champion alone"]
    for name, figures in table.items():
        report.rows.append(row_of(OURS, f"{VARIANT_LEVEL} in flight, {name}", figures))
        if figures is not alone:
            more = figures.cpu - alone.cpu
            share = figures.per_second / alone.per_second
            report.notes.append(
                f"{name}: throughput {share:.3f} × the champion alone, {more:+.0f} µs CPU a request"
            )


def _let_in(file: Path, right: str) -> str:
    """Return the token of a new payment system in a file of identities."""
    rights = ("scorer", "raw_scores") if right == RAW_SCORES else ("scorer",)
    desk = IdentityDesk(file, made_by="the benchmark")
    return desk.add(right.replace(" ", "-"), rights, now_us=1, expires_us=0)[1]


def _check_banded(answer: bytes) -> None:
    decision = pb.ScoreResponse.FromString(answer).decision
    if decision.version != VERSION or not decision.band or decision.HasField("score"):
        raise RuntimeError(f"the champion did not answer with a band: {decision}")


def row_of(name: str, load: str, figures: Figures) -> dict[str, Any]:
    """Return a line of the table."""
    return {
        "server": name,
        "load": load,
        "per_second": figures.per_second,
        "p50_ms": figures.percentile_ms(50),
        "p99_ms": figures.percentile_ms(99),
        "cpu_us_each": figures.cpu,
        "failed": figures.failed,
    }


def bars(table: Table, retrain_ratio: float) -> list[Bar]:
    """Return the bars for what was measured; they are read at 64 in flight."""
    ours = table[OURS, 64]
    found = [
        Bar("throughput ÷ echo, 64 in flight", ours.per_second / table[ECHO, 64].per_second, 0.5),
        Bar("server CPU per request ÷ echo's", ours.cpu / table[ECHO, 64].cpu, 2.5, at_least=False),
    ]
    for name, bound in (("MLServer", 4.0), ("Ray Serve", 8.0)):
        if (name, 64) in table:
            ratio = ours.per_second / table[name, 64].per_second
            found.append(Bar(f"throughput ÷ {name}, 64 in flight", ratio, bound))
    failed = sum(figures.failed for (name, _), figures in table.items() if name == OURS)
    return [
        *found,
        Bar("p99 at half load, retrain beside ÷ without", retrain_ratio, 3.0, at_least=False),
        Bar("calls of ours that failed", float(failed), 0.0, at_least=False, fair_when_quick=True),
    ]


def _file_system(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


if __name__ == "__main__":
    sys.exit(main())
