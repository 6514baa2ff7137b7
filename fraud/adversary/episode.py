"""Plays the stream day by day against the real service, and measures.

    for each day:  labels known by now → payments → the day's figures
                   at the end of some days: ask for a retrain; the next day begins meanwhile,
                   payment by payment, until the scorer serves what the gate decided

Under the log clock time is what the payments say, so the driver waits for the
retrainer at the end of a day: an hour of training must not cost a simulated week.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from threading import Event

import numpy as np

from fraud.adversary.attackers import RING, SPREE, STRATEGIES
from fraud.adversary.figures import CycleFigures, DayFigures, DemoResult, VerdictFigures, quality
from fraud.adversary.narrator import Narrator
from fraud.adversary.stage import Stage
from fraud.adversary.traffic import MODEL, DayAnswers, Traffic
from fraud.adversary.world import START_US, World, WorldSettings
from fraud.adversary.yardstick import Yardstick
from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.errors import Unavailable
from fraud.evaluation.metrics import alert_budget
from fraud.gate.verdict import Verdict
from fraud.v1.models_pb2 import GetRetrainResponse

_RETRAIN_SECONDS_MAX = 180.0
_PACE_SECONDS = 0.02
_AFTER_SWAP = 10
"""Single payments sent after a swap, so that its answers are among those measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played: the world, and after which days (0 is the first) a retrain is asked for."""

    world: WorldSettings = field(default_factory=WorldSettings)
    retrain_first: int = 7
    retrain_every: int = 3

    def retrains_after(self, day: int) -> bool:
        """Say whether a retrain follows this day; never the last, which nothing would show."""
        due = day >= self.retrain_first and (day - self.retrain_first) % self.retrain_every == 0
        return due and day < self.world.days - 1


class Episode:
    """One run of the demo over a service that is ready."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        client: Client,
        yardstick: Yardstick,
        bundles: BundleStore,
        narrator: Narrator,
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._client = client
        self._traffic = Traffic(client)
        self._yardstick = yardstick
        self._bundles = bundles
        self._narrator = narrator
        self._alert_share = stage.settings.gate.alert_share
        self._pause = Event()
        self._days: list[DayFigures] = []
        self._cycles: list[CycleFigures] = []
        self._verdicts: list[VerdictFigures] = []

    def play(self) -> DemoResult:
        """Play every day and return what was measured.

        Raises:
            Unavailable: a process ended, or a retrain did not.
        """
        started = time.monotonic()
        world = World(self._plan.world)
        self._narrator.columns()
        answers = self._traffic.begin(world.day(0))
        for day in range(self._plan.world.days):
            if day == self._plan.world.change_day:
                self._narrator.note("    the fraudsters change their strategy", "bold magenta")
            self._stage.check()
            self._traffic.finish(answers)
            self._close(answers)
            if day + 1 < self._plan.world.days:
                answers = self._traffic.begin(world.day(day + 1))
                if self._plan.retrains_after(day):
                    self._retrain(day, answers)
        return self._result(time.monotonic() - started)

    def _close(self, answers: DayAnswers) -> None:
        """Take the figures of a day whose payments have all been answered."""
        day = answers.day
        never = self._yardstick.read()
        scored = ~np.isnan(answers.scores)
        is_fraud = day.is_fraud[scored]
        service = quality(is_fraud, answers.scores[scored], self._alert_share)
        names = [name for name, given in zip(day.transaction_ids, scored, strict=True) if given]
        baseline = None
        if never:
            never_scores = np.array([never[name] for name in names])
            baseline = quality(is_fraud, never_scores, self._alert_share)
        changed = day.index >= self._plan.world.change_day
        start = datetime.fromtimestamp(START_US / 1e6, UTC)
        figures = DayFigures(
            day=day.index,
            date=(start + timedelta(days=day.index)).date().isoformat(),
            strategy=STRATEGIES[RING if changed else SPREE],
            transactions=len(day),
            frauds=int(day.is_fraud.sum()),
            budget=alert_budget(int(scored.sum()), self._alert_share),
            versions=tuple(answers.versions),
            service=service,
            never_retrained=baseline,
        )
        self._days.append(figures)
        self._narrator.day(figures)

    def _retrain(self, day: int, tomorrow: DayAnswers) -> None:
        """Ask for a retrain and let payments go on until the scorer serves its result.

        The first payment of the next day closes the day: only then is it past
        midnight by the log clock, and all of the days before have matured.
        """
        self._traffic.send_one(tomorrow)
        before = self._client.get_champion(MODEL).version
        request = self._client.trigger_retrain(MODEL, f"end of day {day}", "demo")
        started = time.monotonic()
        took_ms: list[float] = []
        reply = self._client.get_retrain(request)
        while not _done(reply):
            if time.monotonic() - started > _RETRAIN_SECONDS_MAX:
                raise Unavailable(
                    f"retrain {request} is not finished after {_RETRAIN_SECONDS_MAX:g} s; "
                    f"see {self._stage.log_of('retrain')}"
                )
            self._stage.check()
            if tomorrow.left > 1:
                took_ms.append(self._traffic.send_one(tomorrow))
            self._pause.wait(_PACE_SECONDS)
            reply = self._client.get_retrain(request)
        seconds = time.monotonic() - started
        took_ms += [self._traffic.send_one(tomorrow) for _ in range(min(_AFTER_SWAP, tomorrow.left - 1))]
        self._keep(day, before, seconds, took_ms, reply)

    def _keep(
        self, day: int, before: str, seconds: float, took_ms: list[float], reply: GetRetrainResponse
    ) -> None:
        """Keep what a retrain came to; the first champion becomes the yardstick."""
        champion = self._client.get_champion(MODEL).version
        for row in reply.verdicts:
            self._verdicts.append(self._verdict(day, row.version))
            self._narrator.verdict(self._verdicts[-1])
        if champion and not before:
            digest = self._client.get_version(champion).version.digest
            self._yardstick.adopt(champion, self._bundles.read(digest))
        cycle = CycleFigures(
            day=day,
            seconds=seconds,
            promoted=champion if champion != before else "",
            answered=len(took_ms),
            median_ms=median(took_ms),
            slowest_ms=max(took_ms),
            error=reply.text if reply.state == GetRetrainResponse.FAILED else "",
        )
        self._cycles.append(cycle)
        self._narrator.cycle(cycle)

    def _verdict(self, day: int, version: str) -> VerdictFigures:
        reply = self._client.get_version(version)
        return VerdictFigures(day, version, reply.version.recipe, Verdict.from_json(reply.verdicts_json[-1]))

    def _result(self, seconds: float) -> DemoResult:
        return DemoResult(
            seed=self._plan.world.seed,
            change_day=self._plan.world.change_day,
            alert_share=self._alert_share,
            days=tuple(self._days),
            cycles=tuple(self._cycles),
            verdicts=tuple(self._verdicts),
            transactions=self._traffic.transactions,
            without_champion=self._traffic.without_champion,
            logged=self._yardstick.logged,
            requests=self._traffic.requests,
            failed=tuple(self._traffic.failed),
            labels=self._traffic.labels,
            scores_repeated=self._yardstick.same,
            scores_differing=self._yardstick.differing,
            seconds=seconds,
        )


def _done(reply: GetRetrainResponse) -> bool:
    """A retrain is over when it failed, or when the scorer serves what it came to."""
    return reply.state == GetRetrainResponse.FAILED or (
        reply.state == GetRetrainResponse.FINISHED and reply.applied
    )
