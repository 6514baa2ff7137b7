"""What a data folder lets go of, while others copy, retrain and roll back beside it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fraud.bundle.store import BundleStore
from fraud.cli.main import run
from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow
from fraud.eventlog.folder import open_log
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.registry import LedgerStore, promote
from fraud.serving.recovery import Snapshots, restore
from fraud.serving.vacuum import Vacuum
from fraud.settings import Settings, load_settings
from tests.eventlog.events import applied, same_entries
from tests.registry.entries import add, registered, verdict
from tests.serving.worlds import Stream, serving, settings_in

OLD_S = 30 * 86_400.0
ROOT = Path(__file__).parents[2]


def aged(path: Path, seconds: float = OLD_S) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def placed(settings: Settings, digest: str) -> None:
    """Put an old bundle folder in place; vacuum never looks inside."""
    place = settings.places.bundles / digest
    place.mkdir(parents=True)
    (place / "booster.ubj").write_bytes(b"x" * 100)
    aged(place)


def digest(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Four champions of years, one rejected version, one nobody registered; the last serves."""
    settings = settings_in(tmp_path)
    # The first champion, which quality would be held against, is as old as any other here.
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text().replace("[monitoring]\n", "[monitoring]\nreference = false\n", 1))
    settings = load_settings(config, {})
    log = written_log(settings)
    ledger = LedgerStore.open(settings.places.ledger)
    for number in range(1, 5):
        name, time_us = f"card-{number}", number * 200 * DAY_US
        add(ledger, "VersionRegistered", registered(name) | {"digest": digest(number)}, time_us=time_us)
        before = f"card-{number - 1}" if number > 1 else ""
        promote(ledger, "card", name, before, actor="gate", reason="", time_us=time_us)
        log.append([applied("card", name, number)], time_us, [])
        placed(settings, digest(number))
    add(ledger, "VersionRegistered", registered("card-5") | {"digest": digest(5)}, time_us=700 * DAY_US)
    add(ledger, "VerdictGiven", verdict("card-5", "REJECT", "card-4"), time_us=701 * DAY_US)
    placed(settings, digest(5))
    placed(settings, digest(99))
    log.append([applied("transfer", "", 0)], 1_000 * DAY_US, [])
    log.close()
    ledger.close()
    return settings


def written_log(settings: Settings) -> SqliteEventLog:
    return SqliteEventLog.open(
        settings.places.log, writable=True, entity_names=settings.schema_.entity_names, durability="process"
    )


def names(vacuum: Vacuum) -> set[str]:
    return {removal.name for removal in vacuum.plan().removals}


def test_bundles_go_as_retention_says_and_on_the_record(settings: Settings) -> None:
    vacuum = Vacuum.open(settings)
    # Day 1000, rollbacks go back to day 820: card-4 has served since day 800.
    assert names(vacuum) == {"card-1", "card-2", "card-5", digest(99)[:12]}
    plan = vacuum.carry_out(actor="ann", reason="disk")
    entry = vacuum.ledger.read()[-1]
    assert (entry.kind, entry.actor, entry.reason) == ("Vacuumed", "ann", "disk")
    gone = [digest(number) for number in (1, 2, 5, 99)]
    assert entry.body == {"bundles": gone, "files": 0, "bytes": 400}
    assert [it.digest for it in plan.removals] == gone
    assert vacuum.bundles.digests() == [digest(3), digest(4)]
    reasons = {fate.versions: fate.why for fate in plan.kept}
    assert reasons["card-4",] == "champion"
    assert reasons["card-3",] == "last clean champion before the present one"
    with pytest.raises(NotAllowedNow, match="bundle of card-1 is gone"):
        promote(vacuum.ledger, "card", "card-1", "card-4", actor="ann", reason="", time_us=0)
    head = vacuum.ledger.head()
    assert vacuum.carry_out(actor="ann", reason="disk").removals == ()
    assert vacuum.ledger.head() == head, "nothing to go, nothing to record"
    vacuum.close()


def test_a_bundle_written_a_moment_ago_stays_though_no_version_names_it(settings: Settings) -> None:
    os.utime(settings.places.bundles / digest(99))
    vacuum = Vacuum.open(settings)
    assert digest(99)[:12] not in names(vacuum)
    vacuum.close()


def test_what_was_rolled_back_to_while_it_was_decided_is_decided_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vacuum, other = Vacuum.open(settings), LedgerStore.open(settings.places.ledger)
    plan = vacuum.plan()
    body = {"model": "card", "version": "card-2", "expected": "card-4", "mute": None}
    add(other, "RolledBack", body | {"before_us": 0, "exclusion": 0}, time_us=1_000 * DAY_US)
    first = [plan]
    again = Vacuum.plan
    monkeypatch.setattr(Vacuum, "plan", lambda self: first.pop() if first else again(self))
    done = vacuum.carry_out(actor="ann", reason="disk")
    assert "card-2" not in {removal.name for removal in done.removals}
    assert vacuum.bundles.has(digest(2))
    assert not vacuum.bundles.has(digest(1))
    vacuum.close()


def test_leftovers_and_superfluous_snapshots_go_and_state_is_rebuilt_without_any(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    stream = Stream(seed=51)
    with serving(tmp_path) as process, process.client() as client:
        for _ in range(6):
            client.score_batch(stream.take(50))
        process.stop()
    spec, rule = FeatureSpec.of(settings), ConflictRule.of(settings.labels)
    log = written_log(settings)
    archive = open_archive(settings)
    archive.copy_from(log)
    log.prune(200, 2**62)
    (newest,) = Snapshots(settings.places.state, 9).paths()
    for position in (10, 20, 30):
        (settings.places.state / f"features-{position:020d}.npz").write_bytes(newest.read_bytes())
    draft = settings.places.state / "features-1.77.tmp"
    draft.write_bytes(b"half")
    settings.places.bundles.mkdir(exist_ok=True)
    (settings.places.bundles / ".writing-x").mkdir()
    for path in (draft, settings.places.bundles / ".writing-x"):
        aged(path)
    vacuum = Vacuum.open(settings)
    assert sorted((it.what, it.name) for it in vacuum.plan().removals) == [
        ("leftover", ".writing-x"),
        ("leftover", "features-1.77.tmp"),
        ("snapshot", f"features-{10:020d}.npz"),
        ("snapshot", f"features-{20:020d}.npz"),
    ]
    vacuum.carry_out(actor="ann", reason="disk")
    assert vacuum.plan().removals == ()
    vacuum.close()
    with_snapshot = restore(spec, rule, log, archive, Snapshots(settings.places.state, 2)).fold
    for path in Snapshots(settings.places.state, 2).paths():
        path.unlink()
    assert restore(spec, rule, log, archive, Snapshots(settings.places.state, 2)).fold.equals(with_snapshot)
    log.close()


COPY = """
import sys
from pathlib import Path
from fraud.eventlog.folder import open_log
from fraud.features.archive import open_archive
from fraud.settings import load_settings
settings = load_settings(Path(sys.argv[1]), {})
log = open_log(settings)
archive = open_archive(settings)
while archive.position() < int(sys.argv[2]):
    archive.copy_from(log, rows_max=5)
"""


@pytest.mark.process
def test_compact_and_vacuum_run_beside_a_scorer_and_a_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, stream = settings_in(tmp_path), Stream(seed=52)
    config = str(tmp_path / "fraud.toml")
    with serving(tmp_path) as process, process.client() as client:
        client.score_batch(stream.take(50))
        copier = subprocess.Popen([sys.executable, "-c", COPY, config, "300"], cwd=ROOT)
        while copier.poll() is None:
            client.score_batch(stream.take(10))
            assert run(["archive", "compact", "--config", config, "--output", "json"]) == 0
            assert run(["archive", "vacuum", "--config", config, "--output", "json"]) == 0
        assert copier.returncode == 0
        shown = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        tables = [it["tables"]["transactions"] for it in shown if "tables" in it]
        assert any(it["files_before"] > it["files_after"] for it in tables)
        removals = [it["removals"] for it in shown if "removals" in it]
        assert removals
        assert removals == [[]] * len(removals), "no file is old enough"
    archive = open_archive(settings)
    log = open_log(settings)
    entries = list(archive.entries())
    assert [entry.position for entry in entries] == list(range(1, archive.position() + 1))
    assert same_entries(entries, log.read(0, archive.position()))
    log.close()


def test_a_dry_run_lists_and_leaves_everything(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(settings.data_dir.parent / "fraud.toml")
    assert run(["archive", "vacuum", "--dry-run", "--config", config, "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["dry_run"], document["bytes"], len(document["removals"])) == (True, 400, 4)
    assert {it["why"] for it in document["removals"]} == {
        "served last more than 180d ago",
        "rejected more than 90d ago",
        "no version names it: the cycle that wrote it died",
    }
    assert len(BundleStore(settings.places.bundles).digests()) == 6
    assert run(["archive", "vacuum", "--config", config]) == 0
    assert "Gone: 4, 400 bytes" in capsys.readouterr().out


def test_without_a_log_there_is_nothing_to_vacuum(tmp_path: Path) -> None:
    with pytest.raises(NotAllowedNow, match="no event log yet"):
        Vacuum.open(settings_in(tmp_path))
