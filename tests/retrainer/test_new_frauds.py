"""New frauds as a trigger counts them: by their first label, without what was taken back or cut out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fraud.archive.archive import Archive
from fraud.labels.exclusions import Exclusion
from fraud.records import BatchRetracted, Label, LabelsSubmitted, LabelValue
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import next_order, open_workshop
from fraud.retrainer.new_frauds import NewFrauds
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from tests.retrainer.patterns import START_US, World

TRIGGER = {"FRAUD__TRAINING__TRIGGERS__EVERY": "never", "FRAUD__TRAINING__TRIGGERS__NEW_FRAUDS": "6"}
FRAUD, HONEST = LabelValue.FRAUD, LabelValue.LEGITIMATE


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(1)
    yield opened
    opened.close()


def say(world: World, batch: str, rows: range, value: LabelValue = FRAUD) -> int:
    """Hand in labels of payments of the first day; return when they arrived."""
    now_us = world.log.last_arrival_us() + 1
    labels = tuple(Label(f"d0-{row}", value, now_us) for row in rows)
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
    assert [frauds.since(it) for it in (0, first_us, first_us + 1, again_us, again_us + 1)] == [8, 8, 3, 3, 0]


def test_what_was_taken_back_or_cut_out_does_not_count(world: World) -> None:
    shop = open_workshop(load_settings(world.config, TRIGGER))
    frauds = NewFrauds(shop)
    say(world, "first", range(5))
    say(world, "wrong", range(3, 9))
    looked(world, shop, frauds)
    assert frauds.since(0) == 9
    world.log.append([BatchRetracted("wrong", "bank", "a mistake")], world.log.last_arrival_us() + 1, [])
    looked(world, shop, frauds)
    assert frauds.since(0) == 5
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
    assert frauds.since(0) == 0


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
    shop.archive = Closed(world.settings.places.archive, world.settings.schema_, world.spec.names)
    world.pass_days(2)
    looked(world, shop, frauds)
    assert frauds.since(0) == 5
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
        assert (order.kind, order.trigger) == ("new_frauds", "6 new fraud labels")
