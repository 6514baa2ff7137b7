"""The watching retrainer merges small files of a crowded table, once a day, and survives that it cannot."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fraud.archive.archive import RETENTION, Archive
from fraud.clock import HOUR_US
from fraud.errors import ConfigError, Unavailable
from fraud.records import Label, LabelsSubmitted, LabelValue
from fraud.retrainer.compacting import CompactionWatch
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import Watch, open_workshop
from fraud.settings import load_settings
from fraud.stopping import Stopping
from tests.retrainer.patterns import World

FEW = {"FRAUD__TRAINING__ARCHIVE_SMALL_FILES_MAX": "3", "FRAUD__TRAINING__TRIGGERS__EVERY": "never"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(1)
    yield opened
    opened.close()


def copied(world: World, shop: Workshop, files: int, hours: int = 0) -> None:
    """Copy label batches one at a time; the clock ends `hours` later."""
    for each in range(files):
        last = hours * HOUR_US if each == files - 1 else 0
        now_us = world.log.last_arrival_us() + max(1, last)
        name = f"batch-{world.log.head()}"
        labels = (Label("d0-7", LabelValue.FRAUD, now_us),)
        world.log.append([LabelsSubmitted(name, 0, "customer", "bank", labels, name)], now_us, [])
        shop.clock.observe(now_us)
        shop.copy()


def test_a_table_is_compacted_beyond_its_number_and_once_a_day(world: World) -> None:
    shop = open_workshop(load_settings(world.config, FEW))
    watch = CompactionWatch(shop)
    copied(world, shop, 3)
    watch.turn()
    assert shop.archive.small_files()["labels"] == 3, "as many as may be"
    copied(world, shop, 1)
    rows = shop.archive.labels().collect().sort("position")
    watch.turn()
    assert shop.archive.small_files()["labels"] == 1
    assert shop.archive.labels().collect().sort("position").equals(rows)
    copied(world, shop, 4, hours=23)
    watch.turn()
    assert shop.archive.small_files()["labels"] == 5, "it is the same day"
    copied(world, shop, 1, hours=1)
    watch.turn()
    assert shop.archive.small_files()["labels"] == 1
    assert shop.archive.position() == world.log.head()


class Full(Archive):
    """An archive on a disk without space."""

    tries = 0

    def compact(self, retention: timedelta = RETENTION, tables: Collection[str] | None = None) -> None:
        """Refuse."""
        self.tries += 1
        raise Unavailable(f"{tables} within {retention}: no space is left")


def test_what_cannot_be_compacted_is_tried_a_day_later_and_stops_nothing(world: World) -> None:
    shop = open_workshop(load_settings(world.config, FEW))
    shop.archive = full = Full(world.settings.places.archive, world.settings.schema_, world.spec.definitions)
    watch = CompactionWatch(shop)
    for hours, tries in ((0, 1), (1, 1), (23, 2)):
        copied(world, shop, 4, hours)
        watch.turn()
        assert full.tries == tries
    assert shop.archive.position() == world.log.head()


def test_the_watching_retrainer_compacts_after_a_copy(world: World) -> None:
    settings = load_settings(world.config, FEW)
    copied(world, open_workshop(settings), 4)
    watch = Watch(settings, Stopping())
    watch._archive()
    assert watch._shop.archive.small_files()["labels"] == 1
    files = list((world.settings.places.archive / "labels").glob("*.parquet"))
    assert len(files) == 5, "who reads them yet may go on"


@pytest.mark.parametrize("number", ["1", "1000001"])
def test_a_number_out_of_bounds_is_refused_by_name(world: World, number: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.archive_small_files_max"):
        load_settings(world.config, {"FRAUD__TRAINING__ARCHIVE_SMALL_FILES_MAX": number})
