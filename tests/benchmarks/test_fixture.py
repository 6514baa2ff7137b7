from pathlib import Path

import numpy as np
import pytest

from benchmarks.fixture import (
    DEPTH,
    FEATURES,
    MODEL,
    TREES,
    VERSION,
    make_service,
    score_batches,
    score_templates,
)
from benchmarks.load import Messages
from fraud.bundle.boosting import load_booster
from fraud.bundle.store import BundleStore
from fraud.features.spec import FeatureSpec
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.serving.intake import TransactionIntake
from fraud.v1 import scoring_pb2 as pb


def test_a_service_has_a_champion_of_full_size_and_takes_the_payments(tmp_path: Path) -> None:
    service = make_service(tmp_path, port=1, rows=3_000)
    spec = FeatureSpec.of(service.settings)
    assert len(spec.names) == FEATURES
    state = RegistryState()
    for entry in LedgerStore.open(service.settings.places.ledger).read():
        state.apply(entry)
    assert state.champion(MODEL) == VERSION
    bundle = BundleStore(service.settings.places.bundles).read(state.versions[VERSION].digest)
    bundle.self_test()
    booster = load_booster(service.booster)
    assert booster.num_boosted_rounds() == TREES
    depths = [tree.count("\t") for tree in "".join(booster.get_dump()).splitlines()]
    assert max(depths) == DEPTH

    intake = TransactionIntake(service.settings)
    now_us = 1_800_000_000_000_000
    messages = Messages(score_templates(5))
    for _ in range(5):
        request = pb.ScoreRequest.FromString(messages.next(now_us))
        assert intake.read(request.transaction, now_us).event_time_us == now_us


def test_batches_hold_distinct_payments_in_order_of_time() -> None:
    rows = [row for batch in score_batches(2, 50) for row in batch.transactions]
    assert len({row.transaction_id for row in rows}) == 100
    assert np.all(np.diff([row.event_time_us for row in rows]) > 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_templates_repeat_with_their_seed(seed: int) -> None:
    assert score_templates(3, seed) == score_templates(3, seed)
