"""What the service would say to a label batch or a history, without writing anything.

label batch   the checks of `Feedback`, on the log of the data folder as it stands (or without one)
history       the checks of `import_history`, up to where it would begin to write

What only a running scorer knows is not foreseen: the limits of what waits, and whose token it is.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from fraud.clock import LATEST_US
from fraud.errors import ConfigError
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.folder import open_log
from fraud.eventlog.lock import holder_of, locked_by
from fraud.eventlog.log import EventLog
from fraud.features.archive import open_archive
from fraud.labels.batches import check_labels, digest_of
from fraud.records import Label
from fraud.serving.feedback import Taken, check_batch, is_taken_before
from fraud.serving.history import ImportSummary, check_empty, summary_of
from fraud.serving.history_table import read_history
from fraud.serving.recovery import Snapshots
from fraud.settings import Settings


def rehearse_labels(
    settings: Settings,
    now_us: int,
    batch_id: str,
    source: str,
    submitter: str,
    parts: Sequence[Sequence[Label]],
    *,
    look_up: bool,
) -> list[Taken]:
    """Return what would become of each part; `look_up` payments and earlier batches in the log.

    `submitter` "" is whoever the server would take the caller for: whether it came before is not told then.

    Raises:
        InvalidInput: batch id, source or submitter would not be accepted.
        Conflict: the batch came before with other labels or from somebody else, or was retracted.
        Damaged, Unavailable: the log cannot be read.
    """
    check_batch(settings.labels.sources, batch_id, 0, source, submitter or "whoever calls")
    if settings.service.clock == "log":  # it is moved on by what comes in
        now_us = max(now_us, *(it.label_time_us for part in parts for it in part), 0)
    latest_us = min(now_us + settings.schema_.future_tolerance, LATEST_US)
    if not look_up:
        return [_part(None, latest_us, batch_id, n, source, submitter, it) for n, it in enumerate(parts)]
    with closing(open_log(settings)) as log:
        return [_part(log, latest_us, batch_id, n, source, submitter, it) for n, it in enumerate(parts)]


def _part(
    log: EventLog | None,
    latest_us: int,
    batch_id: str,
    part: int,
    source: str,
    submitter: str,
    labels: Sequence[Label],
) -> Taken:
    accepted, refused = check_labels(labels, latest_us)
    digest = digest_of(source, submitter, labels)
    if log is not None and submitter and is_taken_before(log, batch_id, part, submitter, digest):
        return Taken(0, 0, tuple(refused), repeated=True, digest=digest)
    known = {} if log is None else log.find([label.transaction_id for label in accepted])
    joined = sum(label.transaction_id in known for label in accepted)
    return Taken(joined, len(accepted) - joined, tuple(refused), digest=digest)


def rehearse_import(settings: Settings, path: Path) -> ImportSummary:
    """Return what an import of a history would load.

    Raises:
        as `import_history`.
    """
    if settings.import_ is None:
        raise ConfigError("import: the section is missing; map the history's columns in [import]")
    history = read_history(settings, path, None)
    holder = holder_of(settings.data_dir, "scorer")
    if holder is not None:
        raise locked_by(settings.data_dir, "scorer", holder)
    fingerprint = EntityKey.of(settings).fingerprint
    if settings.places.log.is_file():
        with closing(open_log(settings)) as log:
            snapshots = Snapshots(settings.places.state, settings.log.snapshots_kept)
            check_empty(settings, log, fingerprint, open_archive(settings), snapshots)
    return summary_of(settings, history)
