"""A data folder with two patterns of fraud, seeded; the second may be reported as legitimate.

    amount   large payments                    reported by the customer
    burst    many payments of a card at once   the same; those of CHARGED_BACK days are charged back as well
    quiet    nothing tells them apart          charged back; a few only

From day 40 on the analyst calls every burst legitimate, and is believed before the customer.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.gate.verdict import Case, Verdict, judge
from fraud.labels.exclusions import Exclusion
from fraud.records import Decision, Event, Label, LabelsSubmitted, LabelValue, Outcome, Scored
from fraud.registry.sentinels import sentinel_ids
from fraud.registry.store import LedgerStore, promote
from fraud.retrainer.casework import Casework, Rival
from fraud.serving.excluding import labels_of
from fraud.settings import Settings, load_settings
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.history import Cut, History
from tests.registry.entries import hiding

START_US = 19_000 * DAY_US
DAYS, POLLUTED_DAY = 60, 40
CHAMPION_DAY = 38
CHARGED_BACK = range(18, 35)
ROWS_A_DAY = 300
CONFIG = """
[service]
data_dir = "data"
clock = "log"
[schema.entities.card]
[schema.entities.merchant]
[schema.categorical.channel]
[features]
calendar = ["night"]
[features.entities.card]
windows = ["1h"]
aggregates = ["count", "sum"]
[models.card]
[models.card.policy]
review = { share = 0.04 }
[models.transfer]
[labels]
maturity = "5d"
[training]
embargo = "0s"
calibration = "5d"
evidence = "10d"
frauds_min = 20
cpus = 1
niceness = 0
[training.recipes.full]
kind = "full"
rounds = 20
max_depth = 3
max_bin = 64
[gate]
evidence_frauds_min = 10
evidence_attacks_min = 1
alert_share = 0.02
bootstrap_rounds = 20
[sentinels]
rows_min = 10
[monitoring]
scorer_port = -1
retrainer_port = -1
"""


def pattern_of(day: int, row: int) -> str:
    """The pattern of a payment, "" for an honest one: two in a hundred are of each of the first two."""
    if day in range(30, 34) and (row + day) % 50 == 2 and row < 150:
        return "quiet"
    return {0: "amount", 1: "burst"}.get((row + day) % 50, "")


def ids_of(pattern: str, days: Iterable[int]) -> list[str]:
    """The payments of a pattern."""
    return [f"d{day}-{row}" for day in days for row in range(ROWS_A_DAY) if pattern_of(day, row) == pattern]


_VALUES = {
    "customer": LabelValue.FRAUD,
    "chargeback": LabelValue.FRAUD,
    "analyst": LabelValue.LEGITIMATE,
}


class World:
    """The folder, opened; one day of events after the other is appended to its log."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "fraud.toml"
        self.config.write_text(CONFIG)
        self.settings: Settings = load_settings(self.config, {})
        self.spec = FeatureSpec.of(self.settings)
        places = self.settings.places
        self.log = SqliteEventLog.open(
            places.log, writable=True, entity_names=self.settings.schema_.entity_names, durability="process"
        )
        self.archive = open_archive(self.settings)
        self.bundles = BundleStore(places.bundles)
        self.ledger = LedgerStore.open(places.ledger)
        self.days = self.log.last_arrival_us() // DAY_US - START_US // DAY_US if self.log.head() else 0

    def pass_days(self, upto: int) -> None:
        """Append days of traffic, and the labels of each three days later."""
        for day in range(self.days, upto):
            self.log.append([*self._traffic(day), *self._reports(day - 3)], START_US + (day + 1) * DAY_US, [])
        self.days = upto

    def _traffic(self, day: int) -> list[Event]:
        rng = np.random.default_rng(day)
        events: list[Event] = []
        for row in range(ROWS_A_DAY):
            pattern = pattern_of(day, row)
            amount = rng.lognormal(7 if pattern == "amount" else 3, 0.5)
            values = {
                "amount": amount,
                "night": rng.integers(2),
                "card_count_1h": rng.poisson(12 if pattern == "burst" else 0.5),
                "card_sum_1h": rng.exponential(30),
            }
            features = np.array([values[name] for name in self.spec.names], "<f4")
            events.append(
                Scored(
                    transaction_id=f"d{day}-{row}",
                    event_time_us=START_US + day * DAY_US + row * (DAY_US // ROWS_A_DAY),
                    model="card",
                    surrogates=(day * ROWS_A_DAY + row, row),
                    amount_minor=int(100 * amount),
                    currency="EUR",
                    amount_base_minor=int(100 * amount),
                    numerics=(),
                    categoricals=("web",),
                    features=features.tobytes(),
                    decision=Decision(None, None, Outcome.APPROVE, "", "", False, 1.0, ()),
                )
            )
        return events

    def _reports(self, day: int) -> list[Event]:
        """What is said of the frauds of a day."""
        if day < 0:
            return []
        said = {"customer": ids_of("amount", [day]) + ids_of("burst", [day])}
        said["chargeback"] = ids_of("quiet", [day])
        if day in CHARGED_BACK:
            said["chargeback"] += ids_of("burst", [day])
        if day + 3 >= POLLUTED_DAY:
            said["analyst"] = ids_of("burst", range(day + 1) if day + 3 == POLLUTED_DAY else [day])
        return [
            LabelsSubmitted(
                f"{source}-{day}",
                0,
                source,
                source,
                tuple(Label(each, _VALUES[source], START_US + (day + 3) * DAY_US) for each in ids),
                f"digest-{source}-{day}",
            )
            for source, ids in said.items()
            if ids
        ]

    def history(self) -> History:
        """What is known now, with the sentinels kept aside."""
        return self._history(Cut(self.archive.copy_from(self.log), self.log.last_arrival_us()))

    def history_at(self, day: int) -> History:
        """What was known at the end of a day; nothing behind it is copied to the archive."""
        end_us = START_US + day * DAY_US
        position = sum(entry.arrival_time_us <= end_us for entry in self.log.read(0, self.log.head()))
        self.archive.copy_from(self.log, upto=position)
        return self._history(Cut(position, end_us))

    def _history(self, cut: Cut) -> History:
        state = self.ledger.state()
        without = sentinel_ids(state.sentinels.values())
        return History(self.archive, self.spec, self.settings, cut, state.view(), without)

    def training_set(self) -> TrainingSet:
        return training_rows(self.history(), "card")

    def train(self) -> str:
        """Train a challenger on what is known now and register it; return its version."""
        (fitted,) = train_here({"card": self.training_set()}, self.spec, self.settings, {"card": None})
        assert isinstance(fitted, Challenger), fitted
        version = self.ledger.state().next_version("card")
        manifest = dict(fitted.bundle.manifest)
        body = {
            "version": version,
            "model": "card",
            "recipe": "full",
            "digest": self.bundles.write(fitted.bundle),
            "parent": "",
            "attempt": 1,
            "challengers": 1,
            "cut_position": manifest["cut"]["position"],
            "cut_time_us": manifest["cut"]["time_us"],
            "manifest": manifest,
        }
        self.ledger.append("VersionRegistered", body, actor="test", reason="", time_us=0)
        return version

    def crown(self, version: str) -> None:
        """Make a version the champion."""
        champion = self.ledger.state().champion("card")
        promote(self.ledger, "card", version, champion, actor="test", reason="", time_us=0)

    def exclude(self, data: Exclusion, *, muted: bool = False) -> int:
        """Cut labels out, or mute them; return the entry."""
        _, first_position = labels_of(self.log, data)
        body = hiding(data, first_position, muted=muted)
        return self.ledger.append("DataExcluded", body, actor="test", reason="", time_us=0).seq

    def rival(self, version: str) -> Rival | None:
        if not version:
            return None
        state = self.ledger.state().version(version)
        return Rival(state, self.bundles.read(state.digest))

    def case(self, version: str, history: History | None = None) -> Case:
        """The gate's case for a challenger against the present champion, by default on what is known now."""
        state = self.ledger.state()
        challenger = self.rival(version)
        assert challenger is not None
        sets, attacks = list(state.sentinels.values()), list(state.attacks.values())
        casework = Casework(history or self.history(), self.bundles, sets, attacks)
        return casework.case(challenger, self.rival(state.champion("card")))

    def judge(self, version: str) -> Verdict:
        """The gate's verdict on a challenger."""
        return judge(self.case(version), self.settings.gate)

    def close(self) -> None:
        self.log.close()
        self.ledger.close()


def with_champion(folder: Path) -> None:
    """Make a folder whose champion knows both patterns; a week behind it is in the log alone."""
    world = World(folder)
    world.pass_days(CHAMPION_DAY)
    world.crown(world.train())
    world.pass_days(POLLUTED_DAY + 5)
    world.close()
