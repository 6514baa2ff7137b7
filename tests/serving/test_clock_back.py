"""A clock that was set back: what arrives meanwhile still arrives one after the other."""

from pathlib import Path

import numpy as np

from fraud.clock import DAY_US, Clock
from fraud.records import Scored
from fraud.registry.store import promote
from fraud.serving.intake import TransactionIntake
from fraud.serving.logged_features import features_of
from fraud.serving.server import ScoringProcess
from fraud.serving.stores import Stores
from fraud.settings.model import Policy, Target
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.worlds import START_US, Stream, settings_in

DECLINES_ALL = Policy(review=None, decline=Target(score=1e-9))


class SetBack(Clock):
    """Stands where it was set, whatever is observed."""

    def now_us(self) -> int:
        return START_US + DAY_US

    def observe(self, time_us: int) -> None:
        pass


def test_a_decline_counts_for_the_next_payment_while_the_clock_catches_up(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, FRAUD__SERVICE__CLOCK="wall")
    ledger = Ledger(tmp_path)
    ledger.register("card-1", upto=0, policy=DECLINES_ALL)
    promote(ledger.store, "card", "card-1", "", actor="gate", reason="", time_us=START_US)

    async def body(process: ScoringProcess) -> None:
        read = TransactionIntake(settings).read
        for wire in Stream(seed=81).take(4):
            wire.entities["card"] = "the same"
            await process.batcher.score((read(wire, 2**61),), with_reasons=False)
        entries = process.log.read(0, 100)
        arrivals = [it.arrival_time_us for it in entries if isinstance(it.event, Scored)]
        assert np.diff(arrivals).tolist() == [1, 1, 1]
        rows = [it.event for it in entries if isinstance(it.event, Scored)]
        place = process.spec.names.index("card_declined_count_1h")
        assert features_of(rows, len(process.spec.names))[:, place].tolist() == [0, 1, 2, 3]

    inside(settings, body, Stores.open(settings, SetBack()))
