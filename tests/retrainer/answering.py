"""A world that answers by its champion, and what its monitoring shows.

The first champion knows one pattern of fraud, the second both.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fraud.clock import DAY_US
from fraud.monitoring.retrainer_metrics import PARTS
from fraud.records import Event, Label, LabelsSubmitted, LabelValue, Outcome, Scored, ShadowScore
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from tests.retrainer.patterns import START_US, World, ids_of

FIRST_DAY, CHAMPION_DAY, LAST_DAY = 24, 30, 46
EAGER = {
    "FRAUD__MONITORING__QUALITY_WINDOWS": '["6d", "12d"]',
    "FRAUD__MONITORING__QUALITY_EVERY": "1ms",
    "FRAUD__MONITORING__TRAFFIC_EVERY": "1ms",
    "FRAUD__GATE__ALERT_SHARE": "0.05",
}


class Scoring(World):
    """A world that answers by its champion, with the first one in shadow; `factor` multiplies amounts."""

    factor = 1.0
    silent = False

    def _reports(self, day: int) -> list[Event]:
        """The customer reports both patterns after three days."""
        if day < 0 or self.silent:
            return []
        said_us = START_US + (day + 3) * DAY_US
        ids = ids_of("amount", [day]) + ids_of("burst", [day])
        labels = tuple(Label(each, LabelValue.FRAUD, said_us) for each in ids)
        return [LabelsSubmitted(f"customer-{day}", 0, "customer", "bank", labels, f"digest-{day}")]

    def _traffic(self, day: int) -> list[Event]:
        logged = [event for event in super()._traffic(day) if isinstance(event, Scored)]
        state = self.ledger.state()
        rival = self.rival(state.champion("card"))
        if rival is None:
            return list(logged)
        features = np.stack([np.frombuffer(event.features, "<f4") for event in logged])
        features[:, self.spec.names.index("amount")] *= self.factor
        names = self.spec.indices(rival.bundle.feature_names)
        bundle = rival.bundle
        scores = bundle.scores_of(bundle.matrix(features, names, [("web",)] * len(logged)))
        outcomes = bundle.thresholds.outcomes(scores)
        shadow = ShadowScore(state.reigns("card")[0].version, 0.5, Outcome.REVIEW)
        return [
            replace(
                event,
                features=row.astype("<f4").tobytes(),
                decision=replace(
                    event.decision,
                    score=float(score),
                    outcome=Outcome(outcome),
                    version=rival.state.version,
                    shadows=(shadow,),
                    limits=("NEW_CARD", "OUT_OF_RANGE:amount"),
                    rule="block:card" if i % 100 == 99 else "",
                ),
            )
            for i, (event, row, score, outcome) in enumerate(
                zip(logged, features, scores, outcomes, strict=True)
            )
        ]


def answering(folder: Path, kind: type[Scoring] = Scoring) -> Scoring:
    """The first champion knows amounts only, the second one both patterns; the caller closes."""
    opened = kind(folder)
    opened.pass_days(FIRST_DAY)
    whole = opened.settings
    narrow = folder / "narrow.toml"
    features = '[models.card]\nfeatures = ["amount", "night"]\n'
    narrow.write_text(opened.config.read_text().replace("[models.card]\n", features, 1))
    opened.settings = load_settings(narrow, {})
    opened.crown(opened.train())
    opened.settings = whole
    opened.pass_days(CHAMPION_DAY)
    opened.crown(opened.train())
    opened.pass_days(LAST_DAY)
    return opened


def look(world: World, shop: Workshop, monitor: Monitor) -> None:
    """Let the monitoring take a turn on all that was logged; nothing of it may fail."""
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    monitor.observe()
    monitor.turn()
    for part in PARTS:
        assert shown(shop, "fraud_monitoring_failures_total", model="", part=part) == 0


def shown(shop: Workshop, name: str, model: str = "card", **labels: str) -> float:
    """A sample; NaN where there is none."""
    given = {"model": model, **labels} if model else labels
    found = shop.metrics.registry.get_sample_value(name, given)
    return float("nan") if found is None else found
