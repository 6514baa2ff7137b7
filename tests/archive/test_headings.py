"""Rows are archived by the names they were logged with, whatever was appended or taken away since."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fraud.archive import Archive
from fraud.errors import ConfigError
from fraud.eventlog import MemoryEventLog
from fraud.records import Heading, Scored
from fraud.settings.schema import Schema
from tests.archive.history import SCHEMA
from tests.eventlog.events import labels, scored

NUMERICS, CATEGORICALS = ("age", "distance"), ("channel", "country")
GROWN_SCHEMA = Schema.model_validate(
    SCHEMA.model_dump()
    | {
        "numeric": {"age": {}, "distance": {}, "height": {}},
        "categorical": {"channel": {}, "country": {}, "os": {}},
    }
)


def defined(*features: str, **others: str) -> dict[str, str]:
    return {name: f"the {name}" for name in features} | others


def heading(*features: str, **others: str) -> Heading:
    return Heading(NUMERICS, CATEGORICALS, tuple(defined(*features, **others).items()))


def grown(*features: str) -> Heading:
    return replace(heading(*features), numerics=(*NUMERICS, "height"), categoricals=(*CATEGORICALS, "os"))


def row(transaction_id: str, features: Sequence[float], *, fields: bool = False) -> Scored:
    plain = scored(transaction_id, features=features)
    if not fields:
        return plain
    return replace(plain, numerics=(*plain.numerics, 1.8), categoricals=(*plain.categoricals, "linux"))


@pytest.fixture
def log() -> MemoryEventLog:
    """Two rows under one heading, two under a wider one, two under one of as many features, others."""
    log = MemoryEventLog()
    log.hold_to_heading(heading("amount", "hour"))
    log.append([row("a", (1, 2)), labels("b1"), row("b", (3, 4))], 1, [])
    log.hold_to_heading(grown("amount", "sum_7d", "hour"))
    log.append([row("c", (5, 6, 7), fields=True), row("d", (8, 9, 10), fields=True)], 2, [])
    log.hold_to_heading(grown("amount", "sum_14d", "hour"))
    log.append([row("e", (11, 12, 13), fields=True)], 3, [])
    return log


def columns(archive: Archive, *names: str) -> list[list[float | str | None]]:
    rows = archive.transactions().sort("position").select(names).collect()
    return [rows[name].to_list() for name in names]


@pytest.mark.parametrize("rows_max", [1, 2, 50_000])
def test_a_copy_goes_on_across_every_change(log: MemoryEventLog, tmp_path: Path, rows_max: int) -> None:
    archive = Archive(tmp_path, GROWN_SCHEMA, defined("amount", "sum_14d", "hour"))
    assert archive.copy_from(log, rows_max=rows_max) == 6
    assert columns(archive, "f_amount", "f_hour", "f_sum_14d") == [
        [1, 3, 5, 8, 11],
        [2, 4, 7, 10, 13],
        [None, None, None, None, 12],
    ]
    assert columns(archive, "numeric_height", "categorical_os") == [
        [None, None, 1.8, 1.8, 1.8],
        [None, None, "linux", "linux", "linux"],
    ]
    assert archive.features_changed(("amount", "sum_14d")) == 5
    assert archive.features_changed(("amount",)) == 0


def test_whoever_copies_under_whatever_configuration_brings_the_same_rows(
    log: MemoryEventLog, tmp_path: Path
) -> None:
    old = Archive(tmp_path / "one", SCHEMA, defined("amount", "hour"))
    new = Archive(tmp_path / "two", GROWN_SCHEMA, defined("amount", "sum_14d", "hour"))
    for archive in (old, new):
        archive.copy_from(log)
    every = ("amount", "sum_7d", "sum_14d", "hour")
    both = [Archive(tmp_path / name, GROWN_SCHEMA, defined(*every)).transactions() for name in ("one", "two")]
    one, two = (rows.sort("position").collect() for rows in both)
    assert one.equals(two, null_equal=True)
    assert one["f_sum_7d"].to_list() == [None, None, 6, 9, None]


def test_copies_of_two_configurations_take_turns(log: MemoryEventLog, tmp_path: Path) -> None:
    old = Archive(tmp_path, SCHEMA, defined("amount", "hour"))
    new = Archive(tmp_path, GROWN_SCHEMA, defined("amount", "sum_14d", "hour"))
    old.copy_from(log, upto=4)
    new.copy_from(log, upto=5)
    assert old.copy_from(log) == new.position() == 6
    assert columns(new, "f_sum_14d") == [[None, None, None, None, 12]]
    assert columns(old, "f_hour") == [[2, 4, 7, 10, 13]]


def test_an_archived_row_comes_back_as_a_row_of_today(log: MemoryEventLog, tmp_path: Path) -> None:
    archive = Archive(tmp_path, GROWN_SCHEMA, defined("hour", "sum_14d"))
    archive.copy_from(log)
    kept = [entry.event for entry in archive.entries() if isinstance(entry.event, Scored)]
    values = [np.frombuffer(event.features, "<f4") for event in kept]
    assert [row[0] for row in values] == [2, 4, 7, 10, 13]
    assert [math.isnan(row[1]) for row in values] == [True, True, True, True, False]
    assert kept[0].categoricals == ("web", "", "")


def test_a_log_from_before_headings_is_archived_under_both_configurations(tmp_path: Path) -> None:
    """Rows of two widths, none of them with a heading: the first that is noted is that of now."""
    log = MemoryEventLog()
    log.append([row("a", (1, 2)), row("b", (3, 4))], 1, [])
    log.append([row("c", (5, 6, 7)), row("d", (8, 9, 10))], 2, [])
    log.hold_to_heading(heading("amount", "sum_7d", "hour"))
    now = Archive(tmp_path, SCHEMA, defined("amount", "sum_7d", "hour"))
    with pytest.raises(ConfigError, match=r"position 1 was logged with 2 features, .* has 3.*with the old"):
        now.copy_from(log)
    assert Archive(tmp_path, SCHEMA, defined("amount", "hour")).copy_from(log) == 4
    assert now.copy_from(log) == 4
    assert columns(now, "f_sum_7d", "f_hour") == [[None, None, 6, 9], [2, 4, 7, 10]]


def test_a_feature_that_meant_something_else_is_null_in_the_rows_of_that_time(tmp_path: Path) -> None:
    """Its meaning changes twice and comes back; each reader sees the rows of its own."""
    log = MemoryEventLog()
    at_night, at_noon = defined("amount", hour="by night"), defined("amount", hour="by noon")
    for place, features in enumerate((at_night, at_noon, at_night)):
        log.hold_to_heading(heading(**features))
        log.append([row(f"t{place}", (place, 10 + place))], place, [])
    night, noon = (Archive(tmp_path, SCHEMA, features) for features in (at_night, at_noon))
    assert noon.copy_from(log, upto=1) == 1
    assert columns(noon, "f_hour", "f_amount") == [[None], [0]]
    assert night.copy_from(log) == noon.position() == 3
    assert columns(night, "f_hour", "f_amount") == [[10, None, 12], [0, 1, 2]]
    assert columns(noon, "f_hour", "f_amount") == [[None, 11, None], [0, 1, 2]]
    assert (night.features_changed(("hour",)), noon.features_changed(("hour",))) == (2, 3)
    assert night.features_changed(("amount",)) == 0
    kept = [np.frombuffer(it.event.features, "<f4") for it in noon.entries() if isinstance(it.event, Scored)]
    assert [math.isnan(values[1]) for values in kept] == [True, False, True]
    again = Archive(tmp_path, SCHEMA, at_noon)
    again.compact()
    assert columns(again, "f_hour") == columns(noon, "f_hour")


def test_what_was_archived_before_headings_means_what_the_first_one_says(tmp_path: Path) -> None:
    log = MemoryEventLog()
    log.append([row("a", (1, 2))], 1, [])
    before, after = defined("amount", hour="by night"), defined("amount", hour="by noon")
    archive = Archive(tmp_path, SCHEMA, after)
    archive.copy_from(log)
    assert (archive.features_changed(("hour",)), columns(archive, "f_hour")) == (0, [[2]])
    log.hold_to_heading(heading(**before))
    log.append([row("b", (3, 4))], 2, [])
    log.hold_to_heading(heading(**after))
    log.append([row("c", (5, 6))], 3, [])
    archive.copy_from(log)
    assert (archive.features_changed(("hour",)), columns(archive, "f_hour")) == (2, [[None, None, 6]])
