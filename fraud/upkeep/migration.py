"""Brings a data folder of an earlier release to the formats that this one reads.

    part found at format f, needed is n      f = n  nothing to do
                                             f > n  refused: use the release that wrote it
                                             f < n  STEPS f → f+1 → … → n, or refused where one is missing

Each step is one transaction and notes the new format in it, so a crash leaves
the format before or the one after, and running it again goes on from there.
Snapshots need no steps: one of another format is left aside, and the state
folded from the log. Bundles are never changed, since their bytes are their
name; this release reads every format that was ever released.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fraud.archive import marking
from fraud.bundle import bundle
from fraud.bundle.bounds import DESCRIPTION_BYTES_MAX
from fraud.bundle.bundle import DESCRIPTION_FILE
from fraud.documents import read_bounded, read_json
from fraud.errors import Damaged, NotAllowedNow, OtherFormat
from fraud.eventlog.connection import Layout, change_layout, layout_of
from fraud.eventlog.lock import lock_data_folder
from fraud.eventlog.tables import LAYOUT as LOG_LAYOUT
from fraud.registry.store import LAYOUT as LEDGER_LAYOUT
from fraud.settings.places import Places


@dataclass(frozen=True, slots=True)
class Step:
    """From one format of a part to the next.

    `statements` change a SQLite file, in one transaction; `carry_out` changes
    the archive in a folder and may be repeated. `text` says what it does.
    """

    part: str
    before: int
    text: str
    statements: tuple[str, ...] = ()
    carry_out: Callable[[Path], None] | None = None


STEPS: tuple[Step, ...] = ()
"""Every step there ever was, in any order. Empty: 0.1.0 is the first release."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a data folder: its format now, the one needed, and the steps between."""

    name: str
    place: Path
    found: int
    needed: int
    steps: tuple[Step, ...]


def plan(
    places: Places,
    *,
    steps: Sequence[Step] = STEPS,
    log: Layout = LOG_LAYOUT,
    ledger: Layout = LEDGER_LAYOUT,
    archive: int = marking.FORMAT,
) -> list[Part]:
    """Return what is there, in the order in which it would be migrated; parts that are missing are left out.

    `log`, `ledger` and `archive` are the formats needed: this release's.

    Raises:
        OtherFormat: a part is of a later release, or so old that no steps lead here.
        Damaged: a part cannot be read.
    """
    found = []
    for layout, path in ((log, places.log), (ledger, places.ledger)):
        if path.exists():
            found.append((layout.what, path, layout_of(path, layout), layout.version))
    if places.archive.is_dir():
        found.append(("archive", places.archive, marking.format_of(places.archive), archive))
    parts = [Part(*row, _way(*row, steps)) for row in found]
    _check_bundles(places.bundles)
    return parts


def _way(part: str, place: Path, found: int, needed: int, steps: Sequence[Step]) -> tuple[Step, ...]:
    known = {step.before: step for step in steps if step.part == part}
    way = tuple(known[number] for number in range(found, needed) if number in known)
    if found > needed:
        raise OtherFormat(str(place), part, found, needed)
    if len(way) != needed - found:
        missing = next(number for number in range(found, needed) if number not in known)
        raise NotAllowedNow(
            f"{place}: has format {found} of the {part}, this release reads format {needed} and knows no way "
            f"from {missing} to {missing + 1}; migrate with the releases in between first"
        )
    return way


def _check_bundles(folder: Path) -> None:
    for path in sorted(folder.glob(f"[0-9a-f]*/{DESCRIPTION_FILE}")):
        try:
            found = int(read_json(read_bounded(path, DESCRIPTION_BYTES_MAX))["format"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise Damaged(f"{path}: cannot be read ({error!r}); restore the bundle from a copy") from error
        if found > bundle.FORMAT:
            raise OtherFormat(str(path), "bundle", found, bundle.FORMAT)


def migrate(data_dir: Path, parts: Sequence[Part]) -> int:
    """Carry out the steps of a plan; return how many. Nothing may run on the folder.

    Raises:
        DataFolderLocked: scorer or retrainer runs on it.
        NotAllowedNow: a part is no longer of the format that the plan found.
        Unavailable, OSError: the disk failed; what is done stays done, and another run goes on.
    """
    done = 0
    with ExitStack() as stack:
        stack.enter_context(lock_data_folder(data_dir, "scorer"))
        stack.enter_context(lock_data_folder(data_dir, "retrainer"))
        for part in parts:
            for step in part.steps:
                if step.carry_out is None:
                    change_layout(part.place, part.name, step.before, step.statements)
                else:
                    step.carry_out(part.place)
                    marking.mark(part.place, step.before + 1)
                done += 1
    return done
