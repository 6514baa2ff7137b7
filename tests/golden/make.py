"""Writes a small data folder as this release writes it, for later releases to read.

    python -m tests.golden.make        → tests/golden/<version>/: fraud.toml, data/, expected.json, folds/

Everything is made up and seeded. The folder has one of each: payments of which
the oldest have left the log for the archive, labels, a retraction, outcomes, a
listing, a ledger with each kind of entry, a champion in service, a snapshot, and
a tail of the log behind it; beside them lies a version with folds (`tests.golden.folds`).
Run it once for a release, before its number goes up; what is there is never
written again.
"""

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

import fraud
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow
from fraud.labels.exclusions import Exclusion
from fraud.records import EntityListed, Label, LabelValue, OutcomeReport, PaymentOutcome
from fraud.serving.batcher import Answer
from fraud.serving.convert import decision_to_wire
from fraud.serving.intake import TransactionIntake
from fraud.serving.server import ScoringProcess
from fraud.settings import load_settings
from fraud.v1.transaction_pb2 import Transaction
from tests.golden.folds import DEALT_FOLDER, make_folds
from tests.golden.ledger import Scribe, told_by
from tests.serving.worlds import Stream

HERE = Path(__file__).parent
FAR_US = 2**61
CONFIG = """
[service]
data_dir = "data"
clock = "log"

[schema.entities.card]
[schema.entities.merchant]
[schema.entities.device]
required = false
[schema.numeric.distance]
[schema.categorical.channel]
required = true

[features]
calendar = ["hour"]
entities_max = 1000
[features.entities.card]
windows = ["1h", "24h"]
aggregates = ["count", "sum"]
since = ["previous"]
[features.entities.merchant]
windows = ["24h"]
aggregates = ["count"]
fraud_rates = [{ width = "7d", delay = "1d" }]

[models.card]
[labels]
maturity = "1d"
[log]
idempotency_horizon = "10d"
[server]
port = 0
[monitoring]
scorer_port = -1
retrainer_port = -1
"""


class Maker:
    """Drives a scoring process from within, and keeps what it answered."""

    def __init__(self, process: ScoringProcess) -> None:
        self.process = process
        self.stream = Stream(seed=2026)
        self.intake = TransactionIntake(process.settings)
        self.sent: list[Transaction] = []
        self.answers: dict[str, dict[str, Any]] = {}

    async def score(self, rows: int) -> list[str]:
        """Score payments over some days and note the answers; return their ids."""
        wires = self.stream.take(rows, step_us=2 * DAY_US // 30)
        transactions = tuple(self.intake.read(wire, FAR_US) for wire in wires)
        for wire, answer in zip(
            wires, await self.process.batcher.score(transactions, with_reasons=False), strict=True
        ):
            assert isinstance(answer, Answer)
            told = MessageToDict(decision_to_wire(answer.scored, answer.arrival_time_us))
            self.answers[wire.transaction_id] = told
        self.sent += wires
        return [wire.transaction_id for wire in wires]

    async def label(self, batch_id: str, names: list[str]) -> None:
        """Submit labels, every second a fraud."""
        values = (LabelValue.FRAUD, LabelValue.LEGITIMATE)
        labels = [Label(name, values[i % 2], self.stream.now_us) for i, name in enumerate(names)]
        take = partial(self.process.feedback.take_labels, batch_id, 0, "chargeback", "bank", labels)
        await self.process.batcher.run(take)

    async def crown(self, upto: int) -> None:
        """Write the ledger, of which card-1 comes out as champion, and wait until the scorer is through."""
        process = self.process
        store, bundles = process.registry.store, BundleStore(process.settings.places.bundles)
        scribe = Scribe(store, bundles, process.spec, upto, self.stream.now_us, batch="polluted")
        scribe.write(Exclusion("labels", batch_id="polluted"))
        await process.follower.poll(process.batcher)
        assert process.follower.serving("card") == "card-1"
        assert process.scorer.state_now().fold.view == process.registry.state.view()


async def _fill(maker: Maker) -> None:
    process = maker.process
    process.scorer.recover()
    process.follower.start()
    process.batcher.start(asyncio.get_running_loop())
    old = await maker.score(120)
    await maker.label("old", old[:8])
    maker.stream.skip_days(20)
    await maker.score(60)
    process.archive.copy_from(process.log)
    await process.batcher.run(process.keeper.snapshot_now)
    now_us = maker.stream.now_us
    process.log.prune(60, now_us - process.settings.log.idempotency_horizon)
    learned = process.log.head()
    await maker.label("polluted", old[8:12])
    await maker.crown(learned)
    late = await maker.score(60)
    await maker.label("late", late[:6])
    await maker.label("wrong", late[6:10])
    feedback = process.feedback
    await process.batcher.run(partial(feedback.retract_batch, "wrong", "bank", "golden"))
    reports = [OutcomeReport(late[0], PaymentOutcome.COMPLETED, now_us)]
    await process.batcher.run(partial(feedback.take_outcomes, reports))
    listing = EntityListed("block", "card", -1, 0, "golden", "a test")
    await process.batcher.run(partial(process.scorer.append_listing, listing, "c1"))
    process.archive.copy_from(process.log)
    await maker.score(30)
    await process.batcher.close()


def make(place: Path) -> None:
    """Write the golden folder of this release to `place`.

    Raises:
        NotAllowedNow: there is one.
    """
    if place.exists():
        raise NotAllowedNow(f"{place}: is there; what a release wrote is never written again")
    place.mkdir(parents=True)
    (place / "fraud.toml").write_text(CONFIG, encoding="utf-8")
    process = ScoringProcess(load_settings(place / "fraud.toml", {}))
    maker = Maker(process)
    try:
        asyncio.run(_fill(maker))
        expected = {
            "release": fraud.__version__,
            "head": process.log.head(),
            "first": process.log.first(),
            "ledger_head": process.registry.store.head(),
            "ledger": told_by(process.registry.store.state()),
            "archived": process.archive.position(),
            "transactions": [MessageToDict(wire) for wire in maker.sent],
            "answers": maker.answers,
        }
    finally:
        process.registry.store.close()
        process.close()
    (place / "expected.json").write_text(json.dumps(expected, sort_keys=True), encoding="utf-8")
    for lock in place.rglob("*.lock"):
        lock.unlink()


def make_missing(place: Path) -> None:
    """Write what is not there yet of the golden folder of this release.

    Raises:
        NotAllowedNow: all of it is.
    """
    if not place.exists():
        make(place)
    make_folds(place / DEALT_FOLDER)


if __name__ == "__main__":
    try:
        make_missing(HERE / fraud.__version__)
    except NotAllowedNow as error:
        sys.exit(str(error))
