"""What becomes of the calls when more come than can be answered.

    capacity      answers a second, closed loop, 64 in flight: each server's own
    offered       0.5, 1, 2, 3, 5 × capacity, open loop: calls come whether or not earlier ones were answered
    goodput       answers a second that came within the deadline, counted from the moment the call was due
    refused       calls a second that were turned away before their deadline, and how soon after they
                  were sent; "due" counts what their caller held back before, too

Every call has a transaction id of its own and a deadline (200 ms). The generator is one connection
and behaves as a client library does (`benchmarks.load`). The server has core 0, the generator core 1;
beyond what the generator can send, `offered` says what it did send. Service and MLServer stand by
together and take turns; Ray Serve, which is several processes, uses both cores and runs alone. The
peers only predict, from features they are handed. Figures are medians over rounds; RSS is that of the
server and what it started, after the level.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.fixture import Service, make_service
from benchmarks.load import Load, Plan, drive
from benchmarks.peers import mlserver, rayserve
from benchmarks.peers.environments import MLSERVER, RAYSERVE
from benchmarks.processes import Server
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.scoring import LOAD_CORE, OURS, SERVER_CORE, Contestant, serving
from benchmarks.workspace import workspace
from fraud.adversary.stage import free_port

DEADLINE_S = 0.2
IN_FLIGHT = 64
PEER_ROWS = 1_000


@dataclass(frozen=True)
class Size:
    """How long and how often to measure, at which multiples of capacity, with which deadline."""

    rounds: int
    seconds: float
    warm_up: float
    multiples: tuple[float, ...]
    deadline_s: float = DEADLINE_S


FULL = Size(3, 10.0, 2.0, (0.5, 1.0, 2.0, 3.0, 5.0))
QUICK = Size(1, 2.0, 0.5, (0.5, 2.0, 5.0))


@dataclass
class Figures:
    """Measured runs of one server at one level; the properties are medians."""

    deadline_s: float
    loads: list[Load] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Answers a second within the deadline."""
        return median(load.per_second_within(self.deadline_s) for load in self.loads)

    def answered_ms(self, q: float) -> float:
        """Percentile of the time until an answer."""
        return median(load.percentile_ms(q) for load in self.loads)

    def refused_ms(self, q: float) -> float:
        """Percentile of the time from sending a call to its refusal."""
        return median(load.refusal_percentile_ms(q) for load in self.loads)

    def refused_due_ms(self, q: float) -> float:
        """Percentile of the time from when a refused call was due."""
        return median(load.refusal_due_percentile_ms(q) for load in self.loads)

    @property
    def rss_mib(self) -> float:
        """Resident memory."""
        return median(self.rss_bytes) / 2**20

    def row(self, name: str, multiple: float) -> dict[str, Any]:
        """Return a line of the table."""
        return {
            "server": name,
            "load": f"{multiple:g} ×",
            "offered": median(load.begun / load.seconds for load in self.loads),
            "goodput": self.goodput,
            "p50_ms": self.answered_ms(50),
            "p99_ms": self.answered_ms(99),
            "refused": median(load.refused / load.seconds for load in self.loads),
            "refused_p50_ms": self.refused_ms(50),
            "refused_p99_ms": self.refused_ms(99),
            "refused_due_p99_ms": self.refused_due_ms(99),
            "rss_mib": self.rss_mib,
        }


Table = dict[tuple[str, float], Figures]


def main() -> int:
    """Measure and report."""
    arguments = parser(__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, help="how often each level is measured")
    arguments.add_argument("--deadline", type=float, default=DEADLINE_S, help="of each call, in seconds")
    arguments.add_argument("--folder", type=Path, help="data folder; on the disk whose fsync counts")
    given = arguments.parse_args()
    size = replace(QUICK if given.quick else FULL, deadline_s=given.deadline)
    report = Report(
        f"overload: deadline {size.deadline_s * 1e3:.0f} ms, durable log, one core for the server"
    )
    table: Table = {}
    with workspace("overload", given.folder) as folder:
        service = make_service(folder / "service", free_port(), rows=10_000 if given.quick else 40_000)
        measure(service, folder, size, given.rounds or size.rounds, table, report, peers=not given.quick)
    report.rows = [figures.row(name, multiple) for (name, multiple), figures in table.items()]
    report.bars = bars(table, size.deadline_s)
    return finish(report, given)


def measure(
    service: Service, folder: Path, size: Size, rounds: int, table: Table, report: Report, *, peers: bool
) -> None:
    """Let the servers take turns at each level."""
    with ExitStack() as stack:
        contestants = [stack.enter_context(serving(service, folder))]
        if MLSERVER.is_made and peers:
            peer = stack.enter_context(mlserver.serve(service.booster, folder / "mlserver", SERVER_CORE))
            templates = mlserver.templates(service.matrix[:PEER_ROWS])
            contestants.append(Contestant(peer, mlserver.PATH, templates, mlserver.prediction))
        _take_turns(contestants, size, rounds, table, report)
    if RAYSERVE.is_made and peers:
        with rayserve.serve(service.booster, folder / "rayserve", None) as peer:
            templates = rayserve.templates(service.matrix[:PEER_ROWS])
            contestant = Contestant(peer, rayserve.PATH, templates, rayserve.prediction)
            _take_turns([contestant], size, rounds, table, report)
    for absent in (MLSERVER, RAYSERVE):
        if not peers:
            report.notes.append(f"{absent.name}: left out of a quick run")
        elif not absent.is_made:
            make = f"python -m benchmarks.peers make {absent.name}"
            report.notes.append(f"{absent.name}: not installed; {make}")


def _take_turns(
    contestants: Sequence[Contestant], size: Size, rounds: int, table: Table, report: Report
) -> None:
    capacities = {each.server.name: capacity(each, size) for each in contestants}
    for name, reached in capacities.items():
        report.notes.append(f"{name}: capacity {reached:,.0f} answers a second, {IN_FLIGHT} in flight")
    for seed in range(rounds):
        for multiple in size.multiples:
            for each in contestants:
                name = each.server.name
                rate = multiple * capacities[name]
                figures = table.setdefault((name, multiple), Figures(size.deadline_s))
                figures.loads.append(offer(each, size, rate, seed))
                figures.rss_bytes.append(rss(each.server))


def capacity(contestant: Contestant, size: Size) -> float:
    """Return the answers a second of a closed loop, after a run that warms up."""
    reached = 0.0
    for _ in range(2):
        plan = Plan(
            contestant.server.address,
            contestant.path,
            in_flight=IN_FLIGHT,
            seconds=size.seconds / 2,
            warm_up=size.warm_up,
            core=LOAD_CORE,
        )
        load = drive(plan, contestant.templates)
        if load.failed:
            raise RuntimeError(f"{contestant.server.name}: {load.failed} calls failed without overload")
        contestant.check(bytes.fromhex(load.sample[-1]))
        reached = load.per_second
    return reached


def offer(contestant: Contestant, size: Size, rate: float, seed: int) -> Load:
    """Offer so many calls a second."""
    plan = Plan(
        contestant.server.address,
        contestant.path,
        rate=rate,
        seconds=size.seconds,
        warm_up=size.warm_up,
        seed=seed,
        core=LOAD_CORE,
        deadline=size.deadline_s,
    )
    return drive(plan, contestant.templates)


def rss(server: Server) -> int:
    """Return the resident memory of a server and what it started."""
    return sum(
        int(each.memory_info().rss)
        for each in [server.process, *server.process.children(recursive=True)]
        if each.status() != psutil.STATUS_ZOMBIE
    )


def bars(table: Table, deadline_s: float) -> list[Bar]:
    """Return the bars: of the service, over all levels."""
    ours = {multiple: figures for (name, multiple), figures in table.items() if name == OURS}
    peak = max(figures.goodput for figures in ours.values())
    over = [figures for multiple, figures in ours.items() if multiple > 1]
    worst = min(figures.goodput for figures in over)
    first, last = ours[min(ours)], ours[max(ours)]
    return [
        Bar("goodput under overload ÷ peak, worst level", worst / peak, 0.9),
        Bar(
            "p99 of answers, ms, worst level",
            max(figures.answered_ms(99) for figures in ours.values()),
            deadline_s * 1e3,
            at_least=False,
        ),
        Bar(
            "p99 of refusals, ms, worst level",
            max(figures.refused_ms(99) for figures in over),
            5.0,
            at_least=False,
        ),
        Bar("RSS at the highest load ÷ at the lowest", last.rss_mib / first.rss_mib, 1.1, at_least=False),
    ]


if __name__ == "__main__":
    sys.exit(main())
