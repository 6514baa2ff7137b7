"""A log as bytes, to be folded as a start of the scorer and `fraud replay` fold it; views of it, as text.

kind, 1 byte │ length of the body, 2 bytes │ body │ kind │ …        the last body may be cut
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from structlog.testing import capture_logs

from fraud.clock import DAY_US
from fraud.errors import Conflict
from fraud.eventlog.codec import decode, encode
from fraud.eventlog.memory import MemoryEventLog
from fraud.features.difference import Comparison
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import Exclusion, View
from fraud.labels.standing import ConflictRule
from fraud.policy.spending import Spending
from fraud.records import (
    Applied,
    BatchRetracted,
    EntityListed,
    Entry,
    Event,
    Label,
    LabelsSubmitted,
    LabelValue,
)
from fraud.serving import recovery
from fraud.settings import Settings
from tests.eventlog.events import scored
from tests.serving.worlds import START_US

ENTRIES_MAX: Final = 40


def framed(events: list[Event]) -> bytes:
    """Return events as bytes, one behind the other."""
    written = ((kind, body) for kind, body in map(encode, events))
    return b"".join(bytes([kind]) + len(body).to_bytes(2, "big") + body for kind, body in written)


def entries_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each entry."""
    for _ in range(ENTRIES_MAX):
        if not data:
            return
        end = 3 + int.from_bytes(data[1:3], "big")
        yield data[0], data[3:end]
        data = data[end:]


def view_texts() -> list[bytes]:
    """Return views as they are spelled in a log."""
    more = Exclusion("transactions", from_us=5, to_us=START_US + 50, where=(("card", 1), ("device", 0)))
    by_label = Exclusion("labels", batch_id="b", source="analyst", submitter="ann", from_us=3)
    return [View(held).to_text().encode() for held in ((), (by_label,), (by_label, more))]


def logs() -> list[bytes]:
    """Return logs: payments, labels before and after theirs, a retraction, a listing, views that change."""
    paid: list[Event] = [
        replace(
            scored(f"t-{place}", features=()),
            surrogates=(place % 2, 0, place - 2 if place > 1 else -1),
            event_time_us=START_US + place * DAY_US,
            numerics=(0.5,),
            categoricals=("web",),
        )
        for place in range(4)
    ]
    labels = tuple(Label(f"t-{place}", LabelValue.FRAUD, START_US) for place in (0, 3))
    told: list[Event] = [LabelsSubmitted(name, 0, "analyst", "ann", labels, name) for name in "bc"]
    views = [text.decode() for text in view_texts()]
    turns: list[Event] = [Applied(place, "card", "", "", view) for place, view in enumerate(views, start=1)]
    listed = EntityListed("block", "card", 1, 0, "ann", "stolen")
    explored = replace(
        scored("t-9"), surrogates=(1, 0, -1), decision=replace(scored("").decision, explored=True)
    )
    taken = BatchRetracted("b", "ann", "wrong file")
    return [
        framed([paid[0], told[0], paid[1], listed, turns[1], explored, paid[2]]),
        framed([*paid[:3], told[1], turns[2], paid[3], told[0], turns[0], taken]),
    ]


def misfits() -> list[list[Event]]:
    """Return entries that stand in no log of this schema."""
    short, long = (replace(scored(f"t-{len(held)}"), surrogates=held) for held in ((1,), (1, 0, 0, 0)))
    whole = replace(scored("t-3"), surrogates=(1, 0, 0), numerics=(), features=b"")
    explored = replace(short, decision=replace(short.decision, explored=True))
    label = LabelsSubmitted("b", 0, "analyst", "ann", (Label("t-1", LabelValue.FRAUD, START_US),), "b")
    alien = View((Exclusion("transactions", from_us=5, where=(("none", 1),)),)).to_text()
    return [
        [short],
        [long],
        [whole, short],
        [explored],
        [label, short],
        [EntityListed("clock", "card", 1, 0, "ann", "stolen")],
        [whole, Applied(1, "card", "", "", '["x"]')],
        [whole, Applied(1, "card", "", "", alien)],
    ]


def folded(data: bytes, settings: Settings, nowhere: recovery.Snapshots) -> object:
    """Fold a log as a start does, and compare what comes out with what was logged as a replay does."""
    from fraud.features.archive import open_archive

    log = MemoryEventLog()
    for place, (kind, body) in enumerate(entries_of(data)):
        with suppress(Conflict):  # no log holds the same id twice
            log.append([decode(kind, body)], START_US + place * DAY_US, [])
    spec, rule = FeatureSpec.of(settings), ConflictRule.of(settings.labels)
    archive = open_archive(settings, settings.data_dir / "no archive")
    with capture_logs():
        state = recovery.restore(spec, rule, log, archive, nowhere, Spending.of(settings))
    comparison = Comparison.of(spec, log, archive)
    again = FeatureFold(spec, rule)

    def judge(run: list[Entry], features: NDArray[np.float32]) -> None:
        comparison.take(run, features)

    with capture_logs():
        recovery.catch_up(again, log, archive, log.head(), follow=True, judge=judge)
    assert state.fold.equals(again)
    return comparison
