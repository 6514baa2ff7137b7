"""What the server logged is what a replay of its log computes, bit for bit, labels included."""

from pathlib import Path

import numpy as np
import pytest

from fraud.eventlog.folder import open_log
from fraud.features.archive import open_archive
from fraud.features.fold import FeatureFold
from fraud.features.replay import replay
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import Label, LabelValue, Scored
from fraud.serving.feedback import coordinates_of
from fraud.serving.logged_features import features_of
from fraud.serving.recovery import entries_after
from fraud.settings import load_settings
from tests.serving.worlds import Stream, serving

pytestmark = pytest.mark.process


def test_replay_of_the_log_equals_the_logged_features(tmp_path: Path) -> None:
    stream = Stream(seed=11)
    declining = {"FRAUD__MODELS__TRANSFER__NO_CHAMPION": "DECLINE"}
    with serving(tmp_path, **declining) as process, process.client() as client:
        for step in range(60):
            wires = stream.take(20, step_us=20 * 60_000_000)
            wires[stream.random.randrange(20)].model = "transfer"
            late = wires[stream.random.randrange(20)]
            late.event_time_us -= stream.random.randrange(3 * 86_400_000_000)
            ahead = stream.next()
            labels = [Label(ahead.transaction_id, LabelValue.FRAUD, stream.now_us)]
            labels += [
                Label(wire.transaction_id, stream.random.choice(list(LabelValue)[1:]), stream.now_us)
                for wire in wires[::5]
            ]
            client.submit_labels(f"ahead-{step}", 0, "customer", "app", labels[:1])
            client.score_batch([*wires, ahead])
            client.submit_labels(
                f"batch-{step}", 0, stream.random.choice(["chargeback", "analyst"]), "x", labels
            )
        process.stop()

    settings = load_settings(tmp_path / "fraud.toml", {})
    spec = FeatureSpec.of(settings)
    log = open_log(settings)
    archive = open_archive(settings)
    fold = FeatureFold(spec, ConflictRule.of(settings.labels))
    compared = 0
    declined = spec.names.index("card_declined_count_7d")
    most_declined = 0.0
    runs = replay(fold, entries_after(log, archive, 0, log.head()), lambda ids: coordinates_of(log.find(ids)))
    for run, computed in runs:
        scored = [entry.event for entry in run if isinstance(entry.event, Scored)]
        logged = features_of(scored, len(spec.names))
        np.testing.assert_array_equal(logged.view(np.uint32), computed.view(np.uint32))
        compared += len(scored)
        most_declined = max(most_declined, float(np.nanmax(computed[:, declined])))
    log.close()
    assert compared == 60 * 21
    rate = spec.names.index("merchant_fraud_rate_7d_delay_1d")
    assert np.nanmax(computed[:, rate]) > 0, "the labels must have reached the features"
    assert most_declined > 1, "declines must have reached the features"
