"""New frauds as a trigger counts them: by their first label, without what was taken back or cut out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from fraud.archive.archive import Archive
from fraud.clock import DAY_US
from fraud.labels.exclusions import Exclusion
from fraud.records import BatchRetracted, Event, Label, LabelsSubmitted, LabelValue, Scored
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import next_order, open_workshop
from fraud.retrainer.new_frauds import NewFrauds
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from tests.registry.entries import hiding
from tests.retrainer.patterns import ROWS_A_DAY, START_US, World

TRIGGER = {
    "FRAUD__TRAINING__TRIGGERS__EVERY": "never",
    "FRAUD__TRAINING__TRIGGERS__NEW_FRAUDS": "6",
    "FRAUD__MONITORING__QUALITY_EVERY": "1ms",
}
FRAUD, HONEST = LabelValue.FRAUD, LabelValue.LEGITIMATE


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(1)
    yield opened
    opened.close()


def say(world: World, batch: str, rows: range, value: LabelValue = FRAUD, day: int = 0) -> int:
    """Hand in labels of payments of a day; return when they arrived."""
    now_us = world.log.last_arrival_us() + 1
    labels = tuple(Label(f"d{day}-{row}", value, now_us) for row in rows)
    world.log.append([LabelsSubmitted(batch, 0, "customer", "bank", labels, batch)], now_us, [])
    return now_us


def looked(world: World, shop: Workshop, frauds: NewFrauds) -> None:
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    frauds.turn()


def test_a_fraud_counts_once_from_when_it_became_known(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    first_us = say(world, "first", range(5))
    again_us = say(world, "again", range(3, 8))
    say(world, "honest", range(10, 20), HONEST)
    looked(world, shop, frauds)
    moments = (0, first_us - 1, first_us, again_us - 1, again_us)
    assert [frauds.after("card", it) for it in moments] == [8, 8, 3, 3, 0]
    assert frauds.after("transfer", 0) == 0


def test_what_was_taken_back_or_cut_out_does_not_count(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    say(world, "first", range(5))
    say(world, "wrong", range(3, 9))
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 9
    world.log.append([BatchRetracted("wrong", "bank", "a mistake")], world.log.last_arrival_us() + 1, [])
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 5
    body: dict[str, Any] = {
        "exclusion": Exclusion("labels", batch_id="first").to_dict(),
        "first_position": 1,
        "labels": 5,
        "transactions": 0,
        "muted": False,
        "retrain": False,
    }
    world.ledger.append("DataExcluded", body, actor="t", reason="", time_us=START_US)
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 0


class Transfers(World):
    """A world whose every third payment is a transfer."""

    def _traffic(self, day: int) -> list[Event]:
        return [
            replace(it, model="transfer") if isinstance(it, Scored) and row % 3 == 0 else it
            for row, it in enumerate(super()._traffic(day))
        ]


def test_each_model_counts_the_frauds_among_its_own_payments(tmp_path: Path) -> None:
    world = Transfers(tmp_path)
    world.pass_days(1)
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    say(world, "both", range(9))
    say(world, "nowhere", range(9), day=77)
    looked(world, shop, frauds)
    assert {model: frauds.after(model, 0) for model in ("card", "transfer")} == {"card": 6, "transfer": 3}
    world.close()


def test_a_fraud_whose_payment_is_not_there_yet_counts_once_it_is(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    said_us = say(world, "early", range(4), day=1)
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 0
    world.pass_days(2)
    looked(world, shop, frauds)
    assert (frauds.after("card", said_us - 1), frauds.after("card", said_us)) == (4, 0)


def test_payments_that_an_exclusion_hides_do_not_count(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    say(world, "first", range(5))
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 5
    hidden = Exclusion("transactions", from_us=START_US, to_us=START_US + DAY_US)
    world.ledger.append("DataExcluded", hiding(hidden, 1), actor="t", reason="", time_us=START_US)
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 0


class Sought(Archive):
    """An archive that notes how many payments are searched each time."""

    def __init__(self, world: World) -> None:
        super().__init__(world.settings.places.archive, world.settings.schema_, world.spec.definitions)
        self.scanned: list[int] = []

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return the payments, and note how many a scan of some of them takes in."""

        found = super().transactions(upto)
        scanned = self.scanned

        class Noted:
            def filter(self, *predicates: pl.Expr) -> pl.LazyFrame:
                kept = found.filter(*predicates)
                scanned.append(kept.select(pl.len()).collect().item())
                return kept

        return cast("pl.LazyFrame", Noted())


def test_payments_are_searched_only_for_frauds_that_none_was_found_for(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    shop.archive = archive = Sought(world)
    frauds = NewFrauds(shop)
    say(world, "first", range(5))
    looked(world, shop, frauds)
    world.pass_days(2)
    looked(world, shop, frauds)
    assert archive.scanned == [ROWS_A_DAY], "those of the first were found"
    say(world, "early", range(3), day=2)
    looked(world, shop, frauds)
    looked(world, shop, frauds)
    assert archive.scanned == [ROWS_A_DAY, 2 * ROWS_A_DAY], "nothing has come"
    world.pass_days(3)
    looked(world, shop, frauds)
    assert archive.scanned[2:] == [ROWS_A_DAY], "only what has come since"
    assert frauds.after("card", 0) == 8


def test_payments_are_searched_no_more_often_than_quality_is_judged(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER | {"FRAUD__MONITORING__QUALITY_EVERY": "1h"}))
    frauds = NewFrauds(shop)
    for batch, rows in (("first", range(5)), ("second", range(5, 7))):
        say(world, batch, rows)
        looked(world, shop, frauds)
        assert frauds.after("card", 0) == 5


class Closed(Archive):
    """An archive whose labels may not be read."""

    def labels(self, upto: int | None = None) -> pl.LazyFrame:
        """Refuse."""
        raise AssertionError(f"labels up to {upto} were read though none have come")


def test_the_archive_is_asked_only_when_labels_have_come(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    say(world, "first", range(5))
    looked(world, shop, frauds)
    shop.archive = Closed(world.settings.places.archive, world.settings.schema_, world.spec.definitions)
    world.pass_days(2)
    looked(world, shop, frauds)
    assert frauds.after("card", 0) == 5
    say(world, "second", range(5, 7))
    with pytest.raises(AssertionError, match="were read"):
        looked(world, shop, frauds)
    off = open_workshop(load_settings(world.config, {}))
    off.archive = shop.archive
    NewFrauds(off).turn()


@pytest.mark.parametrize(("rows", "starts"), [(5, False), (6, True)])
def test_a_watching_retrainer_starts_at_the_number_set(world: World, rows: int, starts: bool) -> None:
    body = {"request_seq": None, "models": ["card", "transfer"], "cut_position": 1, "trigger": "schedule"}
    signed: dict[str, Any] = {"actor": "t", "reason": "", "time_us": START_US}
    world.ledger.append("CycleStarted", body, **signed)
    ended: dict[str, Any] = {"request_seq": None, "verdicts": [], "seconds": 1.0}
    world.ledger.append("CycleFinished", ended, **signed)
    shop = open_workshop(load_settings(world.config, TRIGGER))
    monitor = Monitor(shop)
    for batch in ("first", "again"):
        say(world, batch, range(rows))
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    monitor.turn()
    order = next_order(shop, monitor)
    assert (order is not None) == starts
    if order is not None:
        assert (order.trigger, order.reason) == ("new_frauds", "6 new fraud labels")
