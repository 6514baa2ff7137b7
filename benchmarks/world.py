"""How fast the adversary's worlds make payments: honest days, attacks between them, the closed loop.

    economy, moving and stationary ─┐
    recorded history, frauds out    ├─▶ payments per second, seconds for a million
    contest: gang + kernel + model ─┘

The bar is the economy's: a million payments within a minute. The closed loop folds every
payment through the feature kernel and scores it, and is what a simulated day costs.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.handbook_data import CONFIG, take_data
from benchmarks.report import Bar, Report, finish, parser
from fraud.adversary.choosers import EpsilonGreedy
from fraud.adversary.contest import Contest, ContestSettings
from fraud.adversary.defenders import KernelDefender, Policy
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Gang
from fraud.adversary.honest import HonestTraffic
from fraud.adversary.recorded import RecordedTraffic
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.settings import load_settings

MILLION = 1_000_000
PAYMENTS_A_DAY = 10_000
CONTEST_DAYS = 30
SECONDS_MAX = 60.0
SEED = 7


def main() -> int:
    """Make worlds, time them, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    given = arguments.parse_args()
    report = Report("Worlds of the adversary: payments per second")
    payments = MILLION // 10 if given.quick else MILLION
    settings = EconomySettings(
        seed=SEED,
        days=payments // PAYMENTS_A_DAY,
        cards=12_000,
        merchants=1_000,
        transactions_per_day=PAYMENTS_A_DAY,
    )
    moving = _timed("economy, moving", lambda: all_days(Economy(settings)))
    report.rows += [
        moving,
        _timed("economy, stationary", lambda: all_days(Economy(settings.stationary()))),
    ]
    if given.data.is_file():
        report.rows.append(_timed("recorded history, read and split", lambda: all_days(recorded(given.data))))
    else:
        report.notes.append(f"{given.data}: no such file, so no recorded history; see benchmarks.handbook")
    days = CONTEST_DAYS // 3 if given.quick else CONTEST_DAYS
    report.rows.append(_timed("closed loop on the economy", lambda: contest(days)))
    bound = SECONDS_MAX
    report.bars.append(Bar("economy, seconds for a million", moving["s_per_million"], bound, at_least=False))
    return finish(report, given)


def all_days(traffic: HonestTraffic) -> int:
    """Make every day and return how many payments they hold."""
    return sum(len(traffic.day(index)) for index in range(traffic.days))


def recorded(data: Path) -> RecordedTraffic:
    """Read the Handbook's genuine payments."""
    return RecordedTraffic(load_settings(CONFIG, {}), data)


def contest(days: int) -> int:
    """Play a bandit against weekly retraining; return how many payments were decided."""
    traffic = Economy(EconomySettings(seed=SEED, days=days, cards=2_500, transactions_per_day=2_000))
    chooser = EpsilonGreedy(known_strategies())
    gang = Gang(traffic, chooser, Tariff.of(traffic.settings), cards_per_day=6.0, seed=SEED)
    defender = KernelDefender(traffic, Policy.scheduled(7, first_day=days // 3), seed=SEED)
    result = Contest(traffic, gang, defender, ContestSettings(seed=SEED, days=days)).play()
    return sum(day.honest + day.frauds for day in result.days)


def _timed(name: str, make: Callable[[], int]) -> dict[str, Any]:
    started = time.perf_counter()
    payments = make()
    seconds = time.perf_counter() - started
    return {
        "world": name,
        "payments": payments,
        "seconds": seconds,
        "payments_per_s": payments / seconds,
        "s_per_million": seconds / payments * MILLION,
    }


if __name__ == "__main__":
    sys.exit(main())
