"""The alert rules on the Handbook's months: false alarms on clean days, days until somebody is told.

    payments ─ a champion every four weeks ─▶ daily series of a variant ─▶ promtool ─▶ which alert, which day
      clean      every alert is a false alarm
      polluted   labels stop, stop for two days, or turn round
      attacked   fraud moves to where no champion has seen any

Series are what the retrainer's monitoring gives at the end of each day (`alerts_series`); rules,
thresholds and hold-downs are the deployed ones (`alerts_rules`). Champions learn nothing of a
variant. An attack shows in realised quality only when its labels have matured, nine days here.

`--quick` takes nine weeks and one pollution. `--figure FILE` draws the loop's history.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alerts_figure import draw
from benchmarks.alerts_rules import firing
from benchmarks.alerts_series import Daily, daily
from benchmarks.alerts_world import FIRST_CHAMPION, Stream, Variant, moved, with_champions
from benchmarks.guard import imported
from benchmarks.guard_feed import flip, outage, silence
from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.prometheus import is_installed
from benchmarks.report import Bar, Report, finish, parser
from fraud.clock import DAY_US
from fraud.settings import Settings, load_settings

MATURITY = "9d"
"""Chargebacks come seven days after a day's end, at three in the morning."""
WINDOWS_US = (7 * DAY_US, 28 * DAY_US)
ROUNDS = 50
RAMP_DAYS = 45
"""Fraud ramps up before, and windows of 30 days fill: alerts there are counted apart."""
DECAY_AND_DRIFT = (
    *("FraudDecay", "FraudWorseThanFirst", "FraudCalibrationOff"),
    *("FraudAlertRateJump", "FraudScoreDrift", "FraudFeatureDrift"),
)
ANSWERING = ("FraudDecay", "FraudWorseThanFirst")


@dataclass(frozen=True)
class Case:
    """A variant, the alerts that should tell of it, how long it is watched, and within how many days."""

    variant: Variant
    by: tuple[str, ...]
    watched: int
    bound: int


FEED = ("FraudLabelFeedSilent", "FraudRetrainFrozen")
CASES = (
    Case(Variant("outage: no label for two days", 110, outage(2)), FEED, 4, 2),
    Case(Variant("silence: labels stop", 110, silence("chargeback")), FEED, 4, 2),
    Case(Variant("flip: a day's frauds called legitimate", 110, flip("chargeback")), FEED, 4, 2),
    Case(Variant("attack: all fraud is of a new kind", 110, attack=moved(1.0)), ANSWERING, 16, 14),
    Case(Variant("attack: half of it is", 110, attack=moved(0.5)), ANSWERING, 20, 20),
)
QUICK = (Case(Variant("outage: no label for two days", 58, outage(2)), FEED, 4, 2),)


def main() -> int:
    """Load, train, derive the series, evaluate, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    arguments.add_argument("--figure", type=Path, help="draw the history of the clean loop to this file")
    given = arguments.parse_args()
    if not is_there(given.data):
        return 2
    if not is_installed():
        print("promtool is not installed; it is in the Debian package prometheus", file=sys.stderr)
        return 2
    report = Report("alerts: false alarms on clean days, days until somebody is told")
    stream = prepare(given, report)
    with tempfile.TemporaryDirectory(prefix="fraud-alerts-") as folder:
        shown = clean(stream, report, Path(folder))
        for case in QUICK if given.quick else CASES:
            polluted(stream, case, report, Path(folder))
    if given.figure is not None:
        draw(stream, shown, given.figure)
        report.notes.append(f"loop history drawn to {given.figure}")
    return finish(report, given)


def prepare(given: argparse.Namespace, report: Report) -> Stream:
    """Import the history and train the champions."""
    world = imported(given, report)
    started = time.perf_counter()
    stream = with_champions(world, settings())
    seconds = time.perf_counter() - started
    report.notes.append(f"{len(stream.reigns)} champions trained in {seconds:.0f} s")
    return stream


def settings() -> Settings:
    """Return the Handbook's configuration with the maturity and the windows of this benchmark."""
    found = load_settings(CONFIG, {"FRAUD__LABELS__MATURITY": MATURITY})
    watched = {"quality_windows": WINDOWS_US, "bootstrap_rounds": ROUNDS}
    return found.model_copy(update={"monitoring": found.monitoring.model_copy(update=watched)})


def clean(stream: Stream, report: Report, folder: Path) -> Daily:
    """Evaluate every day of the honest stream; a row an alert that fired, a bar for decay and drift."""
    started = time.perf_counter()
    shown = daily(stream, Variant("clean"), range(stream.world.days))
    fired = firing(shown, folder / "clean")
    report.notes.append(f"clean: {stream.world.days} days in {time.perf_counter() - started:.0f} s")
    for alert, days in fired.items():
        late = [day for day in days if day >= RAMP_DAYS]
        report.rows.append(
            {"stream": "clean", "alert": alert, "days fired": len(days), "after the ramp": len(late)}
        )
        report.notes.append(f"clean: {alert} on days {_spans(days)}")
    for alert in DECAY_AND_DRIFT:
        late = [day for day in fired.get(alert, ()) if day >= RAMP_DAYS]
        report.bars.append(Bar(f"clean days with {alert}", len(late), 0, at_least=False))
    watched = stream.world.days - FIRST_CHAMPION
    report.notes.append(f"decay and drift have a champion to watch on {watched} of these days")
    return shown


def polluted(stream: Stream, case: Case, report: Report, folder: Path) -> None:
    """Evaluate the days of a variant from the day before it on, and count the days until it is told."""
    start = case.variant.start
    assert start is not None, "a case begins on some day"
    shown = daily(stream, case.variant, range(start - 1, start + case.watched))
    fired = firing(shown, folder / str(len(report.rows)))
    begun = {alert: days for alert, days in fired.items() if days[0] >= start}
    for alert, days in sorted(begun.items(), key=lambda item: item[1]):
        report.rows.append(
            {
                "stream": case.variant.name,
                "alert": alert,
                "days fired": len(days),
                "told after days": days[0] - start + 1,
            }
        )
    told = [begun[alert][0] - start + 1 for alert in case.by if alert in begun]
    name = f"{case.variant.name}: days until told"
    report.bars.append(Bar(name, min(told, default=float("nan")), case.bound, at_least=False))


def _spans(days: list[int]) -> str:
    """Spell rising days as spans.

    >>> _spans([3, 4, 5, 9])
    '3-5, 9'
    """
    spans: list[list[int]] = []
    for day in days:
        if spans and spans[-1][1] == day - 1:
            spans[-1][1] = day
        else:
            spans.append([day, day])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


if __name__ == "__main__":
    sys.exit(main())
