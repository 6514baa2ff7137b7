"""Of how many entities state is kept can be seen, and what becomes of those that come after the last."""

from pathlib import Path

import pytest

from fraud.adversary.stage import free_port
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.monitoring.scrape import Endpoint, Samples, scrape
from tests.serving.worlds import Stream, serving

MOST = 16


@pytest.mark.process
def test_entities_beyond_the_most_are_new_each_time_and_the_gauge_says_that_it_is_full(
    tmp_path: Path,
) -> None:
    port, stream = free_port(), Stream(seed=5)
    environment = {
        "FRAUD__FEATURES__ENTITIES_MAX": str(MOST),
        "FRAUD__MONITORING__SCORER_PORT": str(port),
    }

    def held() -> Samples:
        seen = scrape(Endpoint("127.0.0.1", port))
        assert seen is not None
        return seen

    with serving(tmp_path, **environment) as process, process.client() as client:
        assert held().value("fraud_entities", entity="card") == 0
        limits = []
        for card in [*range(MOST + 1), 0, MOST]:
            payment = stream.next()
            payment.entities["card"], payment.entities["merchant"] = f"c{card}", "m1"
            limits.append(set(client.score(payment).limits))
        seen = held()
    assert seen.value("fraud_entities", entity="card") == seen.value("fraud_entities_max") == MOST
    assert seen.value("fraud_entities", entity="merchant") == 1
    assert "NEW_CARD" not in limits[-2], "one that was held goes on being known"
    assert "NEW_CARD" in limits[-1], "one beyond stays new"


def test_what_is_not_known_yet_is_no_sample() -> None:
    metrics = ScorerMetrics(["card"], ["analyst"], ["card"])
    metrics.watch_entities({"card": lambda: float("nan")}, MOST)
    value = metrics.registry.get_sample_value("fraud_entities", {"entity": "card"})
    assert value is not None
    assert value != value
