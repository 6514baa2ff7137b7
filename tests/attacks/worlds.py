"""A small service with real features: an imported history in which frauds are large, and a bundle of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from fraud.archive.archive import Archive
from fraud.attacks.campaign import Drawn, Result, frauds_of, play, reach_of, scenes
from fraud.attacks.payment import Capabilities, Fraud, Reach
from fraud.attacks.rehearsal import Rehearsal
from fraud.attacks.target import Target
from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.fold import FeatureFold
from fraud.features.rebuild import Past, fold_past
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.registry.store import LedgerStore, promote
from fraud.serving.history import import_history
from fraud.settings import Settings, load_settings
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import training_rows
from fraud.training.history import Cut, History

START_US = 19_000 * DAY_US
DAYS, ROWS = 40, 8_000
MERCHANTS = 80
CONFIG = """
[service]
data_dir = "data"
clock = "log"
[schema.entities.card]
[schema.entities.merchant]
[schema.entities.device]
required = false
[schema.numeric.account_age_days]
min = 0
max = 5000
[schema.categorical.channel]
[schema.amount]
max_minor = 500000
[features]
entities_max = 4096
[features.entities.card]
windows = ["1h", "24h"]
aggregates = ["count", "sum", "amount_over_mean", "declined_count"]
since = ["previous"]
steps = { ratio = 1.5, within = "30d" }
[features.entities.merchant]
windows = ["24h"]
aggregates = ["count", "mean"]
[features.entities.device]
windows = ["24h"]
aggregates = ["count"]
[models.card]
[models.card.policy]
review = { share = 0.04 }
[labels]
maturity = "1d"
[training]
embargo = "0s"
calibration = "5d"
evidence = "1d"
frauds_min = 20
[training.recipes.full]
kind = "full"
rounds = 30
max_depth = 4
max_bin = 64
[attacks]
frauds = 20
recent = "35d"
queries = 12
combinations = 1024
[attacks.entities.merchant]
[attacks.entities.device]
new = true
share = 0.05
sets = { account_age_days = 0.0 }
[attacks.categorical.channel]
[import]
model = "card"
transaction_id = "id"
event_time = "time"
amount = "amount"
amount_unit = "minor"
label = "fraud"
label_source = "chargeback"
label_delay = "1h"
[import.entities]
card = "card"
merchant = "merchant"
device = "device"
[import.numeric]
account_age_days = "age"
[import.categorical]
channel = "channel"
"""


def table(seed: int = 3, fraud_merchants: int = 10) -> pl.DataFrame:
    """Payments of 200 cards; one in thirty is a fraud: large, by `moto`, at one of a few merchants."""
    rng = np.random.default_rng(seed)
    time_us = np.sort(rng.integers(START_US, START_US + DAYS * DAY_US, ROWS))
    fraud = rng.random(ROWS) < 1 / 30
    return pl.DataFrame(
        {
            "id": [f"t{i}" for i in range(ROWS)],
            "time": pl.Series(time_us).cast(pl.Datetime("us", "UTC")),
            "amount": (100 * rng.lognormal(3 + 1.6 * fraud, 0.6)).astype(np.int64).clip(100, 500_000),
            "card": [f"c{each}" for each in rng.integers(200, size=ROWS)],
            "merchant": [
                f"m{each}"
                for each in np.where(
                    fraud, rng.integers(fraud_merchants, size=ROWS), rng.integers(MERCHANTS, size=ROWS)
                )
            ],
            "device": [f"d{each}" for each in rng.integers(150, size=ROWS)],
            "age": rng.integers(1, 2_000, ROWS).astype(np.float64),
            "channel": np.where(fraud & (rng.random(ROWS) < 0.5), "moto", rng.choice(["web", "pos"], ROWS)),
            "fraud": fraud,
        }
    )


@dataclass
class World:
    """The folder with its archive; what is known at the end of it."""

    folder: Path

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.folder / "fraud.toml", {})

    @cached_property
    def spec(self) -> FeatureSpec:
        return FeatureSpec.of(self.settings)

    @cached_property
    def archive(self) -> Archive:
        return open_archive(self.settings)

    @cached_property
    def history(self) -> History:
        return History(
            self.archive, self.spec, self.settings, Cut(self.archive.position(), START_US + DAYS * DAY_US)
        )

    @cached_property
    def bundle(self) -> Bundle:
        rows = training_rows(self.history, "card")
        (made,) = train_here({"card": rows}, self.spec, self.settings, {"card": None})
        assert isinstance(made, Challenger), made
        return made.bundle

    @cached_property
    def known(self) -> pl.DataFrame:
        """The frauds, with features as logged."""
        return self.history.judged("card").filter(pl.col("is_fraud")).sort("position").collect()

    def frauds(self, most: int = 20) -> list[Fraud]:
        return frauds_of(self.known, self.settings, most)

    @cached_property
    def reach(self) -> Reach:
        return reach_of(self.history.transactions("card"), self.settings)

    @cached_property
    def allowed(self) -> Capabilities:
        return Capabilities(self.settings)

    @cached_property
    def target(self) -> Target:
        return Target(self.bundle, self.spec, self.settings)

    def fold(self) -> FeatureFold:
        return FeatureFold(self.spec, ConflictRule.of(self.settings.labels), self.history.view)

    def before(self, fraud: Fraud) -> tuple[Rehearsal, FeatureFold]:
        """The state just before a fraud."""
        fold = self.fold()
        for _ in fold_past(fold, self.archive, fraud.position - 1):
            pass
        return Rehearsal(fold.state), fold


def attack(
    world: World,
    frauds: Sequence[Fraud],
    targets: Sequence[Target],
    allowed: Capabilities | None = None,
    *,
    past: Past | None = None,
    black_box: bool = True,
    drawn: Drawn | None = None,
) -> list[list[Result]]:
    """Play the scenes of frauds on the fold itself, as it comes to them."""
    fold, allowed = world.fold(), allowed or world.allowed
    met = scenes(fold, past or world.archive, frauds, allowed, world.reach, drawn)
    return play(fold.state, met, targets, allowed, black_box=black_box)


def made(folder: Path, fraud_merchants: int = 10) -> World:
    """Import the history and make the bundle the champion."""
    (folder / "fraud.toml").write_text(CONFIG)
    table(fraud_merchants=fraud_merchants).write_parquet(folder / "history.parquet")
    world = World(folder)
    settings = world.settings
    import_history(settings, folder / "history.parquet")
    log = SqliteEventLog.open(settings.places.log, entity_names=settings.schema_.entity_names, writable=False)
    world.archive.copy_from(log)
    log.close()
    manifest = dict(world.bundle.manifest)
    body = {
        "version": "card-1",
        "model": "card",
        "recipe": "full",
        "digest": BundleStore(settings.places.bundles).write(world.bundle),
        "parent": "",
        "attempt": 1,
        "challengers": 1,
        "cut_position": manifest["cut"]["position"],
        "cut_time_us": manifest["cut"]["time_us"],
        "manifest": manifest,
    }
    ledger = LedgerStore.open(settings.places.ledger)
    ledger.append("VersionRegistered", body, actor="test", reason="", time_us=0)
    promote(ledger, "card", "card-1", "", actor="test", reason="", time_us=0)
    ledger.close()
    return world
