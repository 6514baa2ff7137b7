"""What `fraud doctor` looks at: each check is a function that returns its findings.

    configuration · disk · data folder · access · label sources · ports · ledger · champions · log · clock ·
    label delay

Nothing is changed: files are opened for reading, the lock is tried and given
back. A finding says what is so and, where it is not well, what to do.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fraud.cli.access_checkup import examine_access
from fraud.cli.finding import Finding, State
from fraud.cli.holders import bind_error, holders_of_port, is_taken, named
from fraud.cli.silence_checkup import examine_silence
from fraud.clock import WallClock
from fraud.errors import DataFolderLocked, FraudError
from fraud.settings import Settings, format_duration

if TYPE_CHECKING:
    from fraud.eventlog.lock import Role

DISK_FAIL_BYTES = 500 * 2**20
DISK_WARN_BYTES = 5 * 2**30
ARCHIVE_LAG_WARN = 1_000_000
"""Entries; more than a million unarchived suggests that no retrainer runs."""
_ANSWER_S = 2.0


def examine(settings: Settings) -> Iterator[Finding]:
    """Make every check and yield its findings; one that breaks is a finding, not an end."""
    for name, check in _CHECKS.items():
        try:
            yield from check(settings)
        except FraudError as error:
            yield Finding(name, "fail", str(error), "mend what the message names, then run this again")
        except Exception as error:  # noqa: BLE001 — whatever breaks here is what the doctor is asked about
            remedy = "restore the file from a copy, or report this if there is none to restore"
            yield Finding(name, "fail", f"{type(error).__name__}: {error}", remedy)


def _configuration(settings: Settings) -> Iterator[Finding]:
    from fraud.features.spec import FeatureSpec

    spec = FeatureSpec.of(settings)
    counts = [f"{name}: {len(spec.select(model.features))}" for name, model in settings.models.items()]
    yield Finding("configuration", "ok", f"{len(spec.names)} features; picked by model: {', '.join(counts)}")


def _disk(settings: Settings) -> Iterator[Finding]:
    place = _existing(settings.data_dir)
    free = shutil.disk_usage(place).free
    state: State = "ok" if free >= DISK_WARN_BYTES else "warn" if free >= DISK_FAIL_BYTES else "fail"
    remedy = "" if state == "ok" else "free some space or move service.data_dir"
    yield Finding("disk", state, f"{free / 2**30:.1f} GiB free at {place}", remedy)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield Finding("disk", "fail", f"{place}: cannot write: {error.strerror}", "let this user write there")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    from fraud.eventlog.lock import lock_data_folder

    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data folder", "ok", f"{folder} does not exist yet; the first start makes it")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        text = f"{folder} is open to other users (mode {mode:04o})"
        yield Finding("data folder", "warn", text, f"chmod 700 {folder}")
    try:
        with lock_data_folder(folder):
            yield Finding("data folder", "ok", "no scorer runs on it")
    except DataFolderLocked as error:
        yield Finding("data folder", "ok", f"in use: {str(error).partition(';')[0]}")


def _label_sources(settings: Settings) -> Iterator[Finding]:
    from fraud.serving.identity_desk import IdentityDesk

    given, sources = settings.server.identities, settings.labels.sources
    if given.file is None or len(sources) == 1:
        return
    now_us = WallClock().now_us()
    analysts = {
        it.name
        for it in IdentityDesk(given.file, made_by="").credentials()
        if "analyst" in it.rights and it.standing(now_us) == "valid"
    }
    bound = analysts & given.sources.keys()
    if analysts and not bound:
        text = f"{len(analysts)} analysts may hand in labels of any source, {sources[0]} included"
        remedy = '[server.identities] sources = { NAME = ["SOURCE"] } says whose labels each may hand in'
        yield Finding("label sources", "warn", text, remedy)
    elif analysts:
        yield Finding("label sources", "ok", f"{len(bound)} of {len(analysts)} analysts are bound to theirs")


def _ports(settings: Settings) -> Iterator[Finding]:
    server, monitoring = settings.server, settings.monitoring
    exporters: tuple[tuple[str, int, Role], ...] = (
        ("scorer_port", monitoring.scorer_port, "scorer"),
        ("retrainer_port", monitoring.retrainer_port, "retrainer"),
    )
    yield _port(settings, "port", server.host, server.port, "scorer", partial(_answers_calls, settings))
    for key, port, role in exporters:
        yield _port(settings, key, monitoring.host, port, role, partial(_answers_readers, settings))


def _port(
    settings: Settings, key: str, host: str, port: int, role: "Role", answers: Callable[[str, int], bool]
) -> Finding:
    if port <= 0:
        return Finding(key, "ok", "off" if port < 0 else "any free port")
    error = bind_error(host, port)
    if error is None:
        return Finding(key, "ok", f"{host}:{port} is free")
    if not is_taken(error):
        remedy = f"choose another host or {key} in the configuration"
        return Finding(key, "fail", f"{host}:{port}: {error.strerror}", remedy)
    return _holder_finding(settings, key, host, port, role, answers)


def _holder_finding(
    settings: Settings, key: str, host: str, port: int, role: "Role", answers: Callable[[str, int], bool]
) -> Finding:
    """Tell who holds a port: an answer alone would be as good from the service of another folder."""
    from fraud.eventlog.lock import holder_of

    ours, holders = holder_of(settings.data_dir, role), holders_of_port(port)
    who = named({ours: holders[ours]} if ours in holders else holders)
    if ours is None or (ours and holders and ours not in holders):
        text = f"{host}:{port} is held by {who}, which is not the {role} of this folder"
        return Finding(key, "fail", text, f"end that, or choose another {key}")
    if not answers(host, port):
        text = f"{host}:{port} is held by {who}, and does not answer as the {role}"
        return Finding(key, "fail", text, f"wait if it starts; else end it, or choose another {key}")
    return Finding(key, "ok", f"{host}:{port} is served by this service, {who}")


def _answers_calls(settings: Settings, host: str, port: int) -> bool:
    from fraud.client import Client
    from fraud.client.credentials import credentials_of

    credentials = credentials_of(settings.client, {})
    with Client(f"{host}:{port}", deadline_s=_ANSWER_S, credentials=credentials) as client:
        try:
            client.wait_ready(_ANSWER_S)
        except FraudError:
            return False
    return True


def _answers_readers(settings: Settings, _host: str, port: int) -> bool:
    from fraud.monitoring.scrape import Endpoint, scrape

    found = scrape(Endpoint.of(settings.monitoring, settings.client, port))
    return found is not None and found.value("fraud_build_info") is not None


def _ledger(settings: Settings) -> Iterator[Finding]:
    if not settings.places.ledger.exists():
        yield Finding("ledger", "ok", "none yet; the first start makes it")
        return
    from fraud.registry.store import LedgerStore

    store = LedgerStore.open(settings.places.ledger, writable=False)
    store.verify()
    yield Finding("ledger", "ok", f"{store.head()} entries, chain of hashes intact")


def _champions(settings: Settings) -> Iterator[Finding]:
    if not settings.places.ledger.exists():
        return
    from fraud.bundle.store import BundleStore
    from fraud.features.spec import FeatureSpec
    from fraud.registry.store import LedgerStore

    state = LedgerStore.open(settings.places.ledger, writable=False).state()
    spec = FeatureSpec.of(settings)
    for model in settings.models:
        version = state.champion(model)
        if not version:
            outcome = settings.models[model].no_champion
            text = f"no champion yet; every answer is {outcome} with NO_CHAMPION"
            remedy = "fraud retrain, when labels are in; with --once where no retrainer runs"
            yield Finding(f"model {model}", "warn", text, remedy)
            continue
        try:
            bundle = BundleStore(settings.places.bundles).read(state.version(version).digest)
            bundle.self_test()
            spec.indices(bundle.feature_names, bundle.feature_definitions)
        except FraudError as error:
            yield Finding(f"model {model}", "fail", f"{version}: {error}", "restore data/bundles from a copy")
            continue
        if state.tainted_by(version):
            text = f"{version} learned from excluded data, and serves until a clean version is promoted"
            yield Finding(f"model {model}", "warn", text, "fraud retrain, then fraud show of what came of it")
        else:
            text = f"{version} loads, and its self-test agrees bit for bit"
            yield Finding(f"model {model}", "ok", text)


def _log(settings: Settings) -> Iterator[Finding]:
    places = settings.places
    if not places.log.exists():
        yield Finding("log", "ok", "none yet; the first start makes it")
        return
    from fraud.eventlog.entity_key import EntityKey
    from fraud.eventlog.folder import open_log
    from fraud.features.archive import open_archive
    from fraud.serving.recovery import Snapshots

    log = open_log(settings)
    try:
        log.hold_to_key(EntityKey.of(settings).fingerprint)
        log.hold_to_currency(settings.service.currency)
        # In this order it is well with a service that goes on meanwhile: pruned, archived, folded, appended.
        first = log.first()
        archived = open_archive(settings).position()
        folded = Snapshots(places.state, settings.log.snapshots_kept).newest_position()
        head, last_arrival_us = log.head(), log.last_arrival_us()
    finally:
        log.close()
    yield _archive_finding(head, first, archived)
    yield _snapshot_finding(folded, head, settings.log.snapshot_every_events)
    yield _clock_finding(settings, last_arrival_us)


def _archive_finding(head: int, first: int, archived: int) -> Finding:
    text = f"ends at {head}, archived up to {archived}"
    if archived > head:
        return Finding("log", "fail", f"{text}: the log is older than its archive", "restore the newer log")
    if archived < first - 1:
        text = f"{text}, but entries up to {first - 1} have left the log"
        return Finding("log", "fail", text, "restore the archive folder from a copy")
    if head - archived > ARCHIVE_LAG_WARN:
        return Finding("log", "warn", text, "start the retrainer: fraud up, or fraud retrain --watch")
    return Finding("log", "ok", text)


def _snapshot_finding(newest: int, head: int, every_events: int) -> Finding:
    if newest > head:
        text = f"one stands at {newest}, the log ends at {head}: it was folded from a log that is no more"
        return Finding(
            "snapshot", "fail", text, "move the folder state out of the data folder; it is folded anew"
        )
    behind = head - newest
    text = f"the newest usable one is at {newest}; a start replays {behind} entries"
    if behind > 2 * every_events:
        return Finding(
            "snapshot", "warn", text, "stop the scorer with SIGTERM once; it writes one on its way out"
        )
    return Finding("snapshot", "ok", text)


def _clock_finding(settings: Settings, last_arrival_us: int) -> Finding:
    if settings.service.clock == "log":
        return Finding("clock", "ok", "follows the log")
    ahead_us = last_arrival_us - WallClock().now_us()
    if ahead_us <= 0:
        return Finding("clock", "ok", "not behind the log's last arrival")
    text = f"the log's last arrival is {format_duration(ahead_us)} ahead of this machine's clock"
    return Finding("clock", "fail", text, "set the clock; until then every arrival is stamped with that time")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


_CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "configuration": _configuration,
    "disk": _disk,
    "data folder": _data_folder,
    "access": examine_access,
    "label sources": _label_sources,
    "ports": _ports,
    "ledger": _ledger,
    "champions": _champions,
    "log": _log,
    "label delay": examine_silence,
}
