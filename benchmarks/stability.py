"""Do clients' cut-offs on the risk score survive ten retrains in a row on moving data?

    Handbook history ─ import ─▶ log ─▶ archive
      ten cuts, a week apart ─▶ training set as known then ─▶ each recipe, as a cycle fits it ─▶ bundles
      100,000 reference rows, the newest before the first cut, features as logged
        ─▶ share at or above each of `gate.risk_cutoffs`, by each bundle's own risk scale

The reference rows never change, so a difference between two versions is the model's and
its scale's alone. They are the newest that the first version could know: what clients
had seen when they chose their cut-offs. A bar asks for the share of each version to be
within a tenth of the first one's and of the mean. `next week` is the share on the seven
days after a version's cut, which none of its parts has seen: the price of holding on to
the reference while traffic moves; it is told, not judged.

`--quick` imports ten weeks and retrains three times on a short window.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.handbook_protocol import day_number
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.workspace import workspace
from fraud.archive.archive import Archive
from fraud.bundle.bundle import Bundle
from fraud.clock import DAY_US
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.retrainer.matrices import matrix_of
from fraud.serving.history import import_history
from fraud.settings import Settings, load_settings
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import training_rows
from fraud.training.history import Cut, History

MODEL = "card"
SHIFT_MAX = 0.1
REFERENCE_ROWS = 100_000
RECIPES = ("full", "recent")
"""`continue` hangs on which of them was promoted; its scale is made alike."""
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """When the first retrain is, how many there are, and where the history ends."""

    first: date
    retrains: int
    reference_rows: int
    until: date | None = None


FULL = Scale(date(2018, 7, 29), 10, REFERENCE_ROWS)
QUICK = Scale(date(2018, 5, 27), 3, 20_000, date(2018, 6, 18))


def main() -> int:
    """Import, retrain in a row, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    given = arguments.parse_args()
    if not is_there(given.data):
        return 2
    report = Report("Risk score: share of the same rows at or above unchanged cut-offs, ten retrains")
    with workspace("stability") as folder:
        settings = load_settings(CONFIG, {"FRAUD__SERVICE__DATA_DIR": str(folder / "data")})
        scale = QUICK if given.quick else FULL
        archive = load(settings, given.data, scale.until)
        for recipe in RECIPES[-1:] if given.quick else RECIPES:
            measure(settings, archive, recipe, scale, report)
    return finish(report, given)


def load(settings: Settings, data: Path, until: date | None) -> Archive:
    """Import the history before a day into a fresh service and archive it."""
    until_us = None if until is None else day_number(until) * DAY_US
    import_history(settings, data, until_us=until_us)
    log = SqliteEventLog.open(settings.places.log, entity_names=settings.schema_.entity_names, writable=False)
    archive = open_archive(settings)
    archive.copy_from(log)
    log.close()
    return archive


def measure(settings: Settings, archive: Archive, recipe: str, scale: Scale, report: Report) -> None:
    """Retrain by one recipe again and again; fill in rows, bars and notes."""
    cuts = [cut_at(archive, day_number(scale.first) + 7 * week) for week in range(scale.retrains)]
    cutoffs = settings.gate.risk_cutoffs
    reference = newest(archive, cuts[0], scale.reference_rows)
    found = []
    champion: Bundle | None = None
    for number, cut in enumerate(cuts, 1):
        champion = retrain(settings, archive, recipe, cut, champion)
        shares = shares_above(champion, reference, cutoffs)
        found.append(shares)
        next_week = shares_above(champion, week_after(archive, cut), cutoffs)
        report.rows.append(
            {"recipe": recipe, "retrain": number, "cut": str(np.datetime64(cut.time_us, "us"))[:10]}
            | {f"≥ {cutoff}": share for cutoff, share in zip(cutoffs, shares.tolist(), strict=True)}
            | {f"≥ {cutoff}, next week": each for cutoff, each in zip(cutoffs, next_week, strict=True)}
        )
    report.bars += bars(recipe, cutoffs, np.array(found))


def bars(recipe: str, cutoffs: Sequence[int], shares: Shares) -> list[Bar]:
    """Return two bars for each cut-off: the largest change against the first and against the mean.

    `shares` is float64[retrains, cut-offs].
    """
    found = []
    for place, cutoff in enumerate(cutoffs):
        for whose, against in (("first", shares[0, place]), ("mean", shares[:, place].mean())):
            change = float(np.abs(shares[:, place] / against - 1).max()) if against else float("nan")
            name = f"{recipe}: largest change at {cutoff} against the {whose}"
            found.append(Bar(name, change, SHIFT_MAX, at_least=False))
    return found


def retrain(settings: Settings, archive: Archive, recipe: str, cut: Cut, champion: Bundle | None) -> Bundle:
    """Fit one recipe on what is known at a cut, as a cycle does."""
    spec = FeatureSpec.of(settings)
    training = settings.training.model_copy(update={"recipes": {recipe: settings.training.recipes[recipe]}})
    only = settings.model_copy(update={"training": training})
    rows = training_rows(History(archive, spec, only, cut), MODEL)
    champions: Mapping[str, Bundle | None] = {MODEL: champion}
    (made,) = train_here({MODEL: rows}, spec, only, champions, nthread=len(os.sched_getaffinity(0)))
    if not isinstance(made, Challenger):
        raise RuntimeError(f"{recipe} at {cut}: {made.reason}")
    return made.bundle


def cut_at(archive: Archive, day: int) -> Cut:
    """Return the prefix of the log that is known at the start of a day; days since 1970."""
    time_us = day * DAY_US
    known = archive.transactions().filter(pl.col("arrival_time_us") <= time_us)
    return Cut(int(known.select(pl.col("position").max()).collect().item()), time_us)


def newest(archive: Archive, cut: Cut, rows: int) -> pl.DataFrame:
    """Return the newest rows before a cut, with their features, in log order."""
    known = archive.transactions(cut.position)
    first = known.select(pl.col("position").top_k(rows).min()).collect().item()
    return known.filter(pl.col("position") >= first).sort("position").collect()


def week_after(archive: Archive, cut: Cut) -> pl.DataFrame:
    """Return the rows of the seven days after a cut."""
    inside = pl.col("event_time_us").is_between(cut.time_us, cut.time_us + 7 * DAY_US, closed="left")
    return archive.transactions().filter(inside).collect()


def shares_above(bundle: Bundle, rows: pl.DataFrame, cutoffs: Sequence[int]) -> Shares:
    """Return the share of rows at or above each cut-off by a bundle's own scale, float64[cut-offs]."""
    risks = bundle.risk_scores(bundle.margins(matrix_of(bundle, rows)))
    return np.array([np.mean(risks >= cutoff) if len(risks) else np.nan for cutoff in cutoffs])


if __name__ == "__main__":
    sys.exit(main())
