"""One seed, one schedule: the service, its callers, its disk and its clock, a step at a time.

choose a step ─► perhaps a fault ─► do it ─► did a process die? start it again
              ─► promises: looked at after every step, audited now and then
"""

import asyncio
import hashlib
import shlex
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fraud.clock import HOUR_US, MINUTE_US
from fraud.errors import FraudError
from fraud.eventlog.codec import encode
from fraud.features.spec import FeatureSpec
from fraud.serving.intake import TransactionIntake
from fraud.serving.server import ScoringProcess
from fraud.settings import load_settings
from tests.serving.worlds import CONFIG, START_US
from tests.simulation import promises
from tests.simulation.clients import Clients
from tests.simulation.clock import SimulatedClock
from tests.simulation.disk import AIMED, KINDS, Disk, Fault, Store
from tests.simulation.planted import PLANTED
from tests.simulation.service import Parts, Retraining, Scoring, Site
from tests.simulation.vfs import below_sqlite

AUDIT_EVERY = 12
CHANGES_MAX = 60
"""Changes of the disk that pass at most before a fault takes effect."""
AIMED_CHANGES_MAX = 2
"""The same, of the store that it is aimed at."""
DURATIONS_US = (MINUTE_US, 20 * MINUTE_US, 2 * HOUR_US, 9 * HOUR_US)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a simulation did: its steps in words, how often what happened, and a digest of all of it."""

    trace: tuple[str, ...]
    counts: dict[str, int]
    digest: str


class World:
    """Everything that one seed decides."""

    def __init__(self, folder: Path, seed: int, parts: Parts, audit_every: int = AUDIT_EVERY) -> None:
        self.random = Random(seed)
        self.audit_every = audit_every
        (folder / "fraud.toml").write_text(_config(), encoding="utf-8")
        self.settings = load_settings(folder / "fraud.toml", {})
        self.settings.data_dir.mkdir(parents=True)
        self.clock = SimulatedClock(START_US)
        self.disk = Disk(self.settings.data_dir, self.clock.wait)
        self.clients = Clients(Random(seed + 1))
        self.site = Site(self.settings, FeatureSpec.of(self.settings), self.clock, self.disk, parts)
        self.intake = TransactionIntake(self.settings)
        self.retraining = Retraining(self.site)
        self.spoilt: set[str] = set()
        """Digests of bundles that the simulation damaged."""
        self.trace: list[str] = []
        self.counts: dict[str, int] = {}
        self._scoring: Scoring | None = None

    @property
    def process(self) -> ScoringProcess:
        """The scoring process that runs."""
        assert self._scoring is not None
        return self._scoring.process

    def count(self, what: str) -> None:
        """Count something that happened."""
        self.counts[what] = self.counts.get(what, 0) + 1

    async def start(self) -> None:
        """Start the scorer; no fault is left by then, so nothing may keep it from starting."""
        try:
            self._scoring = await Scoring.start(self.site)
        except FraudError as error:
            raise promises.BrokenPromise(f"the scorer does not start: {error}") from error

    async def stop(self, *, snapshot: bool = False) -> None:
        """Stop the scorer."""
        assert self._scoring is not None
        await self._scoring.stop(snapshot=snapshot)
        self._scoring = None

    async def step(self, number: int) -> None:
        """Do one thing, restart what died, check the promises."""
        from tests.simulation.steps import TOUCHED, choose

        name, act = choose(self.random)
        self._arm(TOUCHED.get(name, ()))
        try:
            said = await act(self)
        except FraudError as error:
            said = error.code
        except (sqlite3.Error, OSError) as error:
            raise promises.BrokenPromise(f"{name}: an error that was not designed: {error!r}") from error
        self.count(name)
        self.count(f"{name}: {said.split(' ')[0]}")
        fault = self.disk.fault.kind if self.disk.fault is not None else "-"
        self.trace.append(f"{number} {name}: {said} [{fault}]")
        if self.disk.frozen:
            await self.crash(power=self.random.random() < 0.5)
        elif self.disk.fault is not None and self.random.random() < 0.5:
            self.disk.fault = None
        scorer = self.process.scorer
        if not scorer.ready or scorer.unwritable:
            await self._try_again()
        promises.look(self)
        if number % self.audit_every == 0:
            self.audit()
        self.clock.wait(self.random.choice(DURATIONS_US))

    def audit(self) -> None:
        """Hold every promise against everything there is."""
        promises.audit(self)
        self.count("audited")

    def _arm(self, touched: Sequence[Store]) -> None:
        """Let something go wrong in this step, perhaps: anywhere, or in a store that the step writes to."""
        pick, disk = self.random, self.disk
        if disk.fault is not None:
            return
        if pick.random() < (0.6 if set(touched) - {"events"} else 0.1 * len(touched)):
            # What has struck that store least, so that each thing happens to each of them.
            where = pick.choice(touched)
            kind = min(pick.sample(AIMED, len(AIMED)), key=lambda it: disk.struck[f"{it}: {where}"])
            disk.fault = Fault(kind, pick.randrange(AIMED_CHANGES_MAX), pick.random(), where)
        elif pick.random() < 0.2:
            kind = pick.choice((*KINDS, "crash"))
            disk.fault = Fault(kind, int(CHANGES_MAX * pick.random() ** 3), pick.random())
        else:
            return
        self.count(f"armed {kind}")

    async def _try_again(self) -> None:
        """Restore and try the disk, as the readiness check does when the disk is well; at times later."""
        if self.disk.fault is not None and self.random.random() < 0.5:
            return
        self.disk.fault = None
        process = self.process
        if not process.scorer.ready:
            await process.batcher.run(process.scorer.recover)
            self.count("restored again")
        if process.scorer.unwritable:
            await process.batcher.run(process.scorer.try_disk)
            self.count("written again")

    async def crash(self, *, power: bool) -> None:
        """End what died where the disk left it, and start it again; `power`: both processes."""
        what = "power cut" if power else f"killed {' and '.join(sorted(self.disk.frozen))}"
        scorer = power or "scorer" in self.disk.frozen
        retrainer = power or "retrainer" in self.disk.frozen
        if scorer:
            self.disk.freeze("scorer")
        if retrainer:
            self.disk.freeze("retrainer")
            await self.retraining.stop()
        if scorer:
            await self.stop()
        self.disk.thaw(self.random, power=power)
        if scorer:
            await self.start()
        self.count(what)
        self.trace.append(f"  {what}")
        self.audit()

    def digest(self) -> str:
        """Return a digest of what was done and of what stands in the log."""
        found = hashlib.sha256("\n".join(self.trace).encode())
        for entry in self.process.log.read(0, self.process.log.head()):
            found.update(f"{entry.position} {entry.arrival_time_us}".encode())
            found.update(encode(entry.event)[1])
        return found.hexdigest()


def simulate(folder: Path, seed: int, steps: int, bug: str = "", audit_every: int = AUDIT_EVERY) -> Ran:
    """Run a simulation in an empty folder; `bug`: with one of `PLANTED` in it.

    Everything is audited after each crash and after every `audit_every`-th step.

    Raises:
        BrokenPromise: which one, at which step of which seed, and how to see it again.
    """
    return asyncio.run(_simulate(folder, seed, steps, bug, audit_every))


async def _simulate(folder: Path, seed: int, steps: int, bug: str, audit_every: int) -> Ran:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    world = World(folder, seed, PLANTED[bug].parts if bug else Parts(), audit_every)
    number = 0
    with world.disk.below(), below_sqlite(world.disk), world.clock.measures():
        try:
            await world.start()
            for number in range(1, steps + 1):
                await world.step(number)
            world.disk.fault = None
            world.audit()
            counts = world.counts | {f"struck {what}": times for what, times in world.disk.struck.items()}
            return Ran(tuple(world.trace), counts, world.digest())
        except AssertionError as error:
            last = "\n".join(world.trace[-12:])
            given = "" if audit_every == AUDIT_EVERY else f" --audit-every {audit_every}"
            given += f" --plant {shlex.quote(bug)}" if bug else ""
            raise promises.BrokenPromise(
                f"seed {seed}, step {number}: {error}\nlast steps:\n{last}\n"
                f"again: python -m tests.simulation --seed {seed} --steps {steps}{given}"
            ) from error
        finally:
            world.disk.freeze("scorer")
            world.disk.freeze("retrainer")
            await world.retraining.stop()
            world.retraining.end()
            if world._scoring is not None:
                await world.stop()


def _config() -> str:
    changed = {
        'clock = "log"': 'clock = "wall"',
        "entities_max = 5000": "entities_max = 500",
        "snapshot_every_events = 1000": 'snapshot_every_events = 1000\nidempotency_horizon = "1d"',
        "evidence_frauds_min = 10": "evidence_frauds_min = 5",
    }
    text = CONFIG
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    return text
