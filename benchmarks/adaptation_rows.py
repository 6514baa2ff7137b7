"""Who defends in the adaptation benchmark: a row each, built afresh for every scenario.

    never                          one model, at the end of day 14
    weekly, daily  -28d, -90d      the same, on a calendar, with a window of training rows
    daily-90d-fresh                daily-90d, and labels mean what they mean to the service: verdicts teach at
                                   once, and silence counts as legitimate after as few days
    daily-analysts                 the same with the service's analysts; only where asked for
    online                         River's adaptive random forest
    service                        the running service: schedule, emergencies, gate, guard; analysts beside it
    service-hardened               the same with a hardened recipe and the evasion guard; only where asked for
    undefended                     the service with guard off, a gate that proves nothing, no sentinels
    oracle                         daily, every truth known at the end of its day

All have the kernel's features and the same numbers of the same booster. Of the rows played
by default only the service has analysts, who look at `REVIEWS` payments a day.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import adaptation_online
from benchmarks.adaptation_operator import Operated
from benchmarks.adaptation_worlds import BANDIT, POISONERS, Scenario, Sources, config_of
from fraud.adversary.contest import Contest, ContestSettings, Defender
from fraud.adversary.contest_figures import ContestDay, ContestResult
from fraud.adversary.defenders import KernelDefender, Policy
from fraud.adversary.honest import HonestTraffic
from fraud.adversary.review import Reviewed
from fraud.adversary.serviced import MODEL, ServiceDefender
from fraud.clock import DAY_US
from fraud.guard.finding import CHECKS
from fraud.registry.ledger import VERDICTS
from fraud.registry.loop import RESULTS

FIRST_DAY = 14
REVIEWS = 20
MATURITY_DAYS = 3
"""The service takes a payment without a verdict for legitimate after so long, though some labels come
later: fresh, if not quite clean. So do rows in `FRESH`; other schedules wait until every label has come."""
WINDOWS = (28, 90)
NEVER, ONLINE, SERVICE, UNDEFENDED, ORACLE = "never", "online", "service", "undefended", "oracle"
HARDENED = "service-hardened"
DAILY = f"daily-{max(WINDOWS)}d"
DAILY_FRESH, DAILY_ANALYSTS = f"{DAILY}-fresh", "daily-analysts"
SCHEDULES = {
    **{
        f"{name}-{window}d": (every, window)
        for name, every in (("weekly", 7), ("daily", 1))
        for window in WINDOWS
    },
    DAILY_FRESH: (1, max(WINDOWS)),
}
"""Fixed schedules: days between retrains, and days of training rows."""
FRESH = (DAILY_FRESH, DAILY_ANALYSTS)
"""Schedules to which verdicts and silence mean what they mean to the service."""
PLAIN = (NEVER, *SCHEDULES, ONLINE, SERVICE)
"""Rows at each label delay; the oracle has none."""
ON_REQUEST = (DAILY_ANALYSTS, HARDENED)
"""Rows that are played where they are named."""
POISONED_SETTINGS = {
    "FRAUD__TRAINING__TRIGGERS__HOLD_DOWN": "0s",
    "FRAUD__TRAINING__TRIGGERS__PER_DAY_MAX": "3",
    "FRAUD__TRAINING__TRIGGERS__PROBING": "true",
    "FRAUD__MONITORING__TRAFFIC_EVERY": "1s",
}
"""Beside a poisoner all emergency triggers are on, and nothing but a budget keeps emergencies apart: he has
something to drive."""
HARDENED_SETTINGS = {"FRAUD__TRAINING__RECIPES__FULL__KIND": "hardened", "FRAUD__ATTACKS__GATE": "true"}
"""Beside the frauds other ways to do them, at default costs of `[attacks]`, and the gate attacks, too."""
UNDEFENDED_SETTINGS = {
    **{f"FRAUD__GUARD__{check.upper()}__ACTION": "off" for check in CHECKS},
    "FRAUD__GATE__ALERT_SHIFT_MAX": "1e6",
    "FRAUD__GATE__ALERTS_MAX": "1.0",
    "FRAUD__GATE__CALIBRATION_RATIO_MAX": "1e6",
    "FRAUD__GATE__E_VALUE": "1.0",
    "FRAUD__GATE__EVIDENCE_FRAUDS_MIN": "1",
    "FRAUD__GATE__FLOOR_AVERAGE_PRECISION": "0.0",
    "FRAUD__GATE__FLOOR_RECALL": "0.0",
    "FRAUD__GATE__REFRESH_MARGIN": "0.49",
    "FRAUD__GATE__RISK_ROWS_MIN": "1000000000",
    "FRAUD__GATE__PROBATION__ENABLED": "false",
}


@dataclass(frozen=True, slots=True)
class Played:
    """What one row came to in one scenario: its days, and what the service says of itself."""

    row: str
    scenario: str
    result: ContestResult
    service: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "row": self.row,
            "scenario": self.scenario,
            "result": self.result.as_json(),
            "service": self.service,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Played":
        """Take back what `as_json` gave."""
        result = stored["result"]
        days = tuple(ContestDay(**day) for day in result["days"])
        return cls(
            stored["row"],
            stored["scenario"],
            ContestResult(result["defender"], result["seed"], days),
            stored["service"],
        )


def rows_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the rows that a scenario has, the longest runs first."""
    if scenario.attackers in POISONERS:
        return (SERVICE, UNDEFENDED)
    if scenario.delay == "0d":
        return (ORACLE,)
    if scenario.attackers != BANDIT:
        return (SERVICE, DAILY)
    return (SERVICE, *(row for row in PLAIN if row != SERVICE), *ON_REQUEST)


def play(
    row: str,
    scenario: Scenario,
    sources: Sources,
    folder: Path,
    progress: Callable[[ContestDay], None] | None = None,
) -> Played:
    """Play a scenario against a row; a service lives in `folder`.

    Raises:
        Unavailable: a process of the service ended or hung.
    """
    traffic = sources.traffic(scenario)
    attacker = sources.attacker(scenario, traffic)
    frauds: set[str] = set()
    settings = ContestSettings(seed=scenario.seed, days=sources.days, rules=scenario.rules)
    service: dict[str, Any] = {}
    with _defender(row, scenario, traffic, folder, frauds, service) as defender:
        result = Contest(traffic, attacker, defender, settings, frauds).play(progress)
    return Played(row, scenario.name, result, service)


@contextmanager
def _defender(
    row: str,
    scenario: Scenario,
    traffic: HonestTraffic,
    folder: Path,
    frauds: set[str],
    told: dict[str, Any],
) -> Iterator[Defender]:
    """Build a row; what the service says of itself is put into `told` at the end."""
    if row in (SERVICE, HARDENED, UNDEFENDED):
        given = {"FRAUD__LABELS__MATURITY": f"{fresh_maturity_us(scenario.maturity_us) // DAY_US}d"}
        given |= {UNDEFENDED: UNDEFENDED_SETTINGS, HARDENED: HARDENED_SETTINGS}.get(row, {})
        given |= POISONED_SETTINGS if scenario.attackers in POISONERS else {}
        config = config_of(scenario.world).read_text(encoding="utf-8")
        with ServiceDefender(traffic, folder, config, given, first_day=FIRST_DAY, name=row) as service:
            if row == SERVICE and scenario.attackers in POISONERS:
                with Operated(service, traffic, FIRST_DAY - 1) as operated:
                    yield Reviewed(operated, REVIEWS, frauds.__contains__)
                    told["repairs"] = [asdict(repair) for repair in operated.repairs]
            else:
                yield Reviewed(service, REVIEWS, frauds.__contains__)
            told |= {
                "cycles": {result: service.loop.retrains[MODEL, result] for result in RESULTS},
                "verdicts": {verdict: service.loop.verdicts[MODEL, verdict] for verdict in VERDICTS},
                "reasons": {
                    f"{verdict}: {reason}": count
                    for (_, verdict, reason), count in sorted(service.loop.reasons.items())
                },
                "promotions": service.loop.promotions[MODEL],
                "rollbacks": service.loop.rollbacks[MODEL],
                "triggers": dict(sorted(service.started.items())),
                "emergencies": {
                    it: service.started[it]
                    for it in service.stage.settings.training.triggers.emergencies_wanted
                },
                "emergencies_max": service.stage.settings.training.triggers.emergencies_max,
                "emergencies_together": most_within(
                    service.emergencies_us, service.stage.settings.training.triggers.emergencies_within
                ),
                "failed": len(service.failed),
                "failures": service.failed[:5],
            }
    elif row == ONLINE:
        yield adaptation_online.OnlineDefender(
            traffic, maturity_us=scenario.maturity_us, seed=scenario.seed, first_day=FIRST_DAY
        )
    elif row == DAILY_ANALYSTS:
        daily = KernelDefender(traffic, policy_of(row, scenario.maturity_us), seed=scenario.seed)
        yield Reviewed(daily, REVIEWS, frauds.__contains__)
    else:
        yield KernelDefender(traffic, policy_of(row, scenario.maturity_us), seed=scenario.seed)


def most_within(times_us: Sequence[int], span_us: int) -> int:
    """Return how many of some moments, which rise, lie within less than a span of each other, at most."""
    times = np.asarray(times_us, np.int64)
    return int(np.max(np.searchsorted(times, times + span_us) - np.arange(len(times)), initial=0))


def policy_of(row: str, maturity_us: int) -> Policy:
    """Return the policy of a row that fits in this process.

    Raises:
        ValueError: no such row.
    """
    if row == NEVER:
        return Policy(row, FIRST_DAY, None, maturity_us=maturity_us)
    if row == ORACLE:
        return Policy(row, FIRST_DAY, 1, max(WINDOWS) * DAY_US, maturity_us)
    if row not in SCHEDULES and row not in FRESH:
        raise ValueError(f"row {row!r}: give one of {', '.join((*PLAIN, UNDEFENDED, ORACLE))}")
    every, window = SCHEDULES[DAILY if row == DAILY_ANALYSTS else row]
    fresh = row in FRESH
    mature_us = fresh_maturity_us(maturity_us) if fresh else maturity_us
    return Policy(row, FIRST_DAY, every, window * DAY_US, mature_us, fresh=fresh)


def fresh_maturity_us(maturity_us: int) -> int:
    """Return from which age on silence counts as legitimate to the service, and to rows in `FRESH`."""
    return min(maturity_us, MATURITY_DAYS * DAY_US)
