"""From the event log through the archive to a training set, with real parts."""

import math
from pathlib import Path

import numpy as np

from fraud.archive.archive import Archive
from fraud.clock import DAY_US
from fraud.eventlog.memory import MemoryEventLog
from fraud.features.spec import FeatureSpec
from fraud.records import (
    Decision,
    Event,
    Label,
    LabelsSubmitted,
    LabelValue,
    Outcome,
    OutcomeReport,
    OutcomesReported,
    PaymentOutcome,
    Scored,
)
from fraud.training.dataset import training_rows
from fraud.training.history import Cut, History
from tests.training.made import START_US, made_settings

SETTINGS = made_settings()
SPEC = FeatureSpec.of(SETTINGS)


def scored(place: int, outcome: Outcome, *, explored: bool = False) -> Scored:
    features = np.arange(len(SPEC.names), dtype="<f4") + place
    features[2] = math.nan
    decision = Decision(0.5, 500, outcome, "card-1", "card-1/a", explored, 0.25 if explored else 1.0, ())
    return Scored(
        transaction_id=f"t{place}",
        event_time_us=START_US + place,
        model="card",
        surrogates=(place, -1),
        amount_minor=100,
        currency="EUR",
        amount_base_minor=100,
        numerics=(math.nan,),
        categoricals=("web", ""),
        features=features.tobytes(),
        decision=decision,
    )


def test_what_the_log_holds_becomes_rows_labels_and_a_manifest(tmp_path: Path) -> None:
    log = MemoryEventLog()
    verdicts = (
        Label("t1", LabelValue.FRAUD, START_US + 5),
        Label("t2", LabelValue.LEGITIMATE, START_US + 5),
    )
    reports = (
        OutcomeReport("t3", PaymentOutcome.ISSUER_DECLINED, START_US + 5),
        OutcomeReport("t5", PaymentOutcome.COMPLETED, START_US + 5),
    )
    events: list[Event] = [
        scored(0, Outcome.APPROVE),
        scored(1, Outcome.APPROVE),
        scored(2, Outcome.DECLINE),
        scored(3, Outcome.APPROVE),
        scored(4, Outcome.DECLINE),
        scored(5, Outcome.REVIEW),
        scored(6, Outcome.APPROVE, explored=True),
        LabelsSubmitted("b1", 0, "analyst", "eva", verdicts, "d1"),
        LabelsSubmitted("b2", 0, "analyst", "eva", (), "d2"),
        OutcomesReported(reports),
    ]
    log.append(events, START_US + 10, [])
    archive = Archive(tmp_path, SETTINGS.schema_, SPEC.definitions)
    position = archive.copy_from(log)
    cut = Cut(position, START_US + 60 * DAY_US)
    settings = made_settings(recipes={"full": {"kind": "full", "window": "90d"}})
    rows = training_rows(History(archive, SPEC, settings, cut), "card")
    assert rows.position.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert rows.label.tolist() == [0, 1, 0, -1, -1, 0, 0]
    assert rows.propensity.tolist() == [1, 1, 1, 1, 1, 1, 0.25]
    assert rows.words == (("web",), ())
    expected = np.stack([np.frombuffer(e.features, "<f4") for e in events if isinstance(e, Scored)])
    assert rows.features.tobytes() == expected.tobytes()
    assert rows.manifest["label_batches"] == [
        {
            "batch_id": "b1",
            "source": "analyst",
            "submitter": "eva",
            "position": 8,
            "parts": 1,
            "labels": 2,
            "frauds": 1,
            "arrival_us": [START_US + 10, START_US + 10],
            "digest": "d1",
        }
    ]
