"""A folder of an earlier format is brought up step by step, each all or nothing."""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import fraud
from fraud.archive import marking
from fraud.bundle.bounds import DESCRIPTION_BYTES_MAX
from fraud.cli.main import run
from fraud.errors import Damaged, DataFolderLocked, NotAllowedNow, OtherFormat, Unavailable
from fraud.eventlog.connection import connect
from fraud.eventlog.lock import lock_data_folder
from fraud.eventlog.tables import LAYOUT
from fraud.registry.store import LAYOUT as LEDGER_LAYOUT
from fraud.settings import Settings, load_settings
from fraud.upkeep.migration import Part, Step, migrate, plan
from tests.golden.test_golden import HERE

NOW = LAYOUT.version
NEXT = replace(LAYOUT, version=NOW + 2)
"""Made up: two formats later, for which the present one is the earlier."""
STEPS = (
    Step("event log", NOW + 1, "count them", ("UPDATE meta SET value = '7' WHERE key = 'colour'",)),
    Step("event log", NOW, "add a colour", ("INSERT INTO meta VALUES ('colour', 'red')",)),
)
BROKEN = (STEPS[0], replace(STEPS[1], statements=(*STEPS[1].statements, "INSERT INTO nowhere VALUES (1)")))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    shutil.copytree(HERE / fraud.__version__, tmp_path / "service")
    return load_settings(tmp_path / "service" / "fraud.toml", {})


def planned(settings: Settings, steps: Sequence[Step] = STEPS) -> list[Part]:
    return plan(settings.places, steps=steps, log=NEXT)


def colour(settings: Settings) -> str | None:
    with closing(sqlite3.connect(settings.places.log)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'colour'").fetchone()
    return None if row is None else str(row[0])


def test_a_folder_of_this_release_has_nothing_to_do(settings: Settings) -> None:
    parts = plan(settings.places)
    assert [(part.name, part.found, part.needed) for part in parts] == [
        ("event log", NOW, NOW),
        ("registry ledger", LEDGER_LAYOUT.version, LEDGER_LAYOUT.version),
        ("archive", marking.FORMAT, marking.FORMAT),
    ]
    assert migrate(settings.data_dir, parts) == 0


def test_steps_are_taken_in_order_and_the_format_is_noted(settings: Settings) -> None:
    parts = planned(settings)
    assert [step.text for step in parts[0].steps] == ["add a colour", "count them"]
    assert colour(settings) is None, "a plan changes nothing"
    assert migrate(settings.data_dir, parts) == 2
    assert colour(settings) == "7"
    connect(settings.places.log, NEXT, writable=True).close()
    assert migrate(settings.data_dir, planned(settings)) == 0
    with pytest.raises(OtherFormat, match=f"has format {NOW + 2} of the event log"):
        plan(settings.places)


def test_a_step_that_fails_leaves_the_format_before_it(settings: Settings) -> None:
    with pytest.raises(Unavailable, match="nowhere"):
        migrate(settings.data_dir, planned(settings, BROKEN))
    assert colour(settings) is None
    connect(settings.places.log, LAYOUT, writable=True).close()
    assert migrate(settings.data_dir, planned(settings)) == 2, "another run goes on from there"


def test_a_missing_step_is_named_before_anything_is_done(settings: Settings) -> None:
    with pytest.raises(NotAllowedNow, match=f"knows no way from {NOW + 1} to {NOW + 2}"):
        planned(settings, STEPS[1:])


def test_a_plan_that_is_out_of_date_is_refused(settings: Settings) -> None:
    parts = planned(settings)
    migrate(settings.data_dir, parts)
    with pytest.raises(NotAllowedNow, match="by now"):
        migrate(settings.data_dir, parts)
    assert colour(settings) == "7"


def test_the_archive_has_steps_of_its_own(settings: Settings) -> None:
    seen: list[Path] = []
    steps = (Step("archive", marking.FORMAT, "touch it", carry_out=seen.append),)
    parts = plan(settings.places, steps=steps, archive=marking.FORMAT + 1)
    assert migrate(settings.data_dir, parts) == 1
    assert seen == [settings.places.archive]
    assert marking.format_of(settings.places.archive) == marking.FORMAT + 1


def test_nothing_may_run_on_the_folder(settings: Settings) -> None:
    with lock_data_folder(settings.data_dir, "retrainer"), pytest.raises(DataFolderLocked):
        migrate(settings.data_dir, planned(settings))
    assert colour(settings) is None


def test_a_later_bundle_is_refused(settings: Settings) -> None:
    (path,) = settings.places.bundles.glob("*/bundle.json")
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":99'))
    with pytest.raises(OtherFormat, match="has format 99 of the bundle"):
        plan(settings.places)


@pytest.mark.parametrize("text", [b'{"format": 1e999}', b"[]", b"{"])
def test_a_description_that_is_none_is_named(settings: Settings, text: bytes) -> None:
    (path,) = settings.places.bundles.glob("*/bundle.json")
    path.write_bytes(text)
    with pytest.raises(Damaged, match=re.escape(f"{path}: cannot be read")):
        plan(settings.places)


def test_a_description_of_any_size_is_not_held_in_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = settings.places.bundles.glob("*/bundle.json")
    os.truncate(path, DESCRIPTION_BYTES_MAX + 2**33)
    monkeypatch.setattr(Path, "read_bytes", lambda whole: pytest.fail(f"{whole} is read whole"))
    with pytest.raises(Damaged, match=f"larger than {DESCRIPTION_BYTES_MAX} bytes.*restore the bundle"):
        plan(settings.places)


def test_the_command_line_says_that_there_is_nothing_to_do(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(settings.data_dir.parent / "fraud.toml")
    assert run(["--config", config, "--output", "json", "migrate", "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [part["steps"] for part in told["parts"]] == [[], [], []]
    assert run(["--config", config, "migrate"]) == 0
    assert "nothing to do: this release reads all that is there" in capsys.readouterr().out
