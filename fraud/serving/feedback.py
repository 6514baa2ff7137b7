"""Labels and payment outcomes on their way into the log, on the scoring thread.

A label batch is checked row by row: rows that can be kept are logged as one
event, rows that cannot are named in the answer. The part's digest covers all
rows as submitted, so a repeat is recognised whatever was refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fraud.clock import EARLIEST_US, LATEST_US, Clock, microseconds_wanted
from fraud.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Overloaded, PermissionDenied
from fraud.eventlog.log import BatchSummary, EventLog
from fraud.features.fold import Coordinates
from fraud.labels.batches import (
    COMMENT_LENGTH_MAX,
    ID_LENGTH_MAX,
    IMPORTER,
    RefusedLabel,
    check_labels,
    digest_of,
)
from fraud.labels.exclusions import View
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import (
    BatchRetracted,
    Entry,
    Label,
    LabelsSubmitted,
    OutcomeReport,
    OutcomesReported,
    PaymentOutcome,
    Scored,
)
from fraud.serving.roles import Caller
from fraud.serving.scorer import Scorer
from fraud.settings import Settings


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the rows of one label batch or outcome report."""

    accepted: int
    waiting: int
    refused: tuple[RefusedLabel, ...]
    repeated: bool = False
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Retraction:
    """What became of a retraction: the parts of the batch, and the labels that counted until now."""

    parts: tuple[BatchSummary, ...]
    labels: int
    repeated: bool


class Feedback:
    """Takes labels, retractions and outcomes for one scorer."""

    def __init__(self, settings: Settings, scorer: Scorer, clock: Clock, metrics: ScorerMetrics) -> None:
        self._sources = settings.labels.sources
        self._bound = settings.server.identities.sources
        self._waiting_max = settings.labels.waiting_max
        self._waiting_each_max = settings.labels.waiting_each_max
        self._scorer = scorer
        self._clock = clock
        self._metrics = metrics
        self._future_us = settings.schema_.future_tolerance

    def check_source(self, source: str, caller: Caller | None) -> None:
        """Refuse a source that there is not, or that the caller may not hand in labels of; on any thread.

        Raises:
            InvalidInput: it is not configured.
            PermissionDenied: the caller is bound to others.
        """
        _check_configured(self._sources, source)
        allowed = None if caller is None else self._bound.get(caller.name)
        if caller is not None and allowed is not None and source not in allowed:
            raise PermissionDenied(
                f"source: {caller.name} may hand in labels of {', '.join(allowed)} only, not of {source}; "
                f"send them as another identity, or add {source} to server.identities.sources.{caller.name}"
            )

    def take_labels(
        self, batch_id: str, part: int, source: str, submitter: str, labels: Sequence[Label]
    ) -> Taken:
        """Log one part of a label batch and fold it into label-fed state.

        Raises:
            InvalidInput: batch id, part, source or submitter cannot be accepted.
            LimitExceeded: more than `labels.waiting_each_max` of the source would wait for one payment.
            Conflict: the same batch and part came before with other labels, another submitter began the
                batch, or it was retracted.
            Overloaded: more than `labels.waiting_max` labels would wait for payments that never came.
            Unavailable: the append failed; nothing was kept.
        """
        check_batch(self._sources, batch_id, part, source, submitter)
        digest = digest_of(source, submitter, labels)
        if is_taken_before(self._scorer.log, batch_id, part, submitter, digest):
            return Taken(0, 0, self._refused_then(batch_id, part, labels), repeated=True, digest=digest)
        # A time in another unit must not carry the clock that follows events out of the calendar.
        times_us = [label.label_time_us for label in labels if label.label_time_us <= LATEST_US]
        self._clock.observe(max(times_us, default=0))
        accepted, refused = check_labels(labels, self._latest_us(self._scorer.now_us()))
        event = LabelsSubmitted(batch_id, part, source, submitter, tuple(accepted), digest)
        known = coordinates_of(self._scorer.log.find([label.transaction_id for label in accepted]))
        self._check_waiting(event, known)
        joined, waiting = self._scorer.append_labels(event, known)
        self._count(event, known)
        return Taken(joined, waiting, tuple(refused), digest=digest)

    def _refused_then(self, batch_id: str, part: int, labels: Sequence[Label]) -> tuple[RefusedLabel, ...]:
        """Return the rows that were refused when these labels came first: whoever asks may not have heard."""
        (first,) = (it for it in self._scorer.log.batch(batch_id) if it.part == part)
        return tuple(check_labels(labels, self._latest_us(first.arrival_time_us))[1])

    def _latest_us(self, now_us: int) -> int:
        """Return the newest label time that is believed at a moment."""
        return min(now_us + self._future_us, LATEST_US)

    def retract_batch(
        self, batch_id: str, submitter: str, reason: str, *, own_only: bool = False
    ) -> Retraction:
        """Take a batch back, on the record: its labels count no more.

        `own_only`: unless somebody else than `submitter` handed in a part of it.

        Raises:
            InvalidInput: submitter or reason is missing or too long.
            NotFound: no such batch came in.
            PermissionDenied: it is somebody else's.
            Unavailable: the append failed; nothing was kept.
        """
        _check_length("submitter", submitter, ID_LENGTH_MAX, "name who takes it back")
        _check_length("reason", reason, COMMENT_LENGTH_MAX, "say why; it is kept")
        parts = tuple(self._scorer.log.batch(batch_id))
        if not parts:
            raise NotFound(
                f"batch_id {batch_id[:ID_LENGTH_MAX]!r}: no such batch came in; see 'fraud label batches'"
            )
        other = next((part for part in parts if part.submitter != submitter), None)
        if own_only and other is not None:
            raise PermissionDenied(
                f"batch_id {batch_id!r}: {other.submitter} handed in part {other.part}, and a batch is its "
                "submitter's to take back; ask them, or an operator, who may take back any, or exclude it "
                "with 'fraud exclude --batch' where that takes two (server.two_person)"
            )
        if parts[0].retracted:
            return Retraction(parts, 0, repeated=True)
        self._scorer.append_retraction(BatchRetracted(batch_id, submitter, reason))
        state = self._scorer.state
        view = state.fold.view if state is not None else View()
        counted = [
            part.labels
            for part in parts
            if not view.hides_label(part.batch_id, part.source, part.submitter, part.arrival_time_us)
        ]
        return Retraction(parts, sum(counted), repeated=False)

    def _check_waiting(self, event: LabelsSubmitted, known: Mapping[str, Coordinates]) -> None:
        """Refuse labels that the fold would have to hold beyond its limits, before they are logged.

        The fold takes what the log holds, at a replay too, so it can refuse nothing.
        """
        state = self._scorer.state
        if state is None:
            return
        fold = state.fold
        names = [label.transaction_id for label in event.labels]
        more = Counter(name for name in names if name not in known and name not in fold.coordinates)
        for name, labels in more.items():
            held = sum(waiting.fact.source == event.source for waiting in fold.waiting.of(name))
            if held + labels > self._waiting_each_max:
                raise LimitExceeded(
                    "transaction_id",
                    f"{name!r} is no payment so far, {held} labels of {event.source} wait for it, and "
                    f"these are {labels} more (labels.waiting_each_max = {self._waiting_each_max})",
                    "send a verdict once, and again when it changes",
                )
        if more and len(fold.waiting) + more.total() > self._waiting_max:
            raise Overloaded(
                f"{len(fold.waiting)} labels wait for payments that never came, and of these "
                f"{more.total()} would, for {len(more)} payments like {next(iter(more))!r} "
                f"(labels.waiting_max = {self._waiting_max}); are the transaction ids those of this "
                "service, and is each label sent once?"
            )

    def _count(self, event: LabelsSubmitted, known: Mapping[str, Coordinates]) -> None:
        for label in event.labels:
            self._metrics.labelled(event.source, label.value)
        delays = [
            (label.label_time_us - known[label.transaction_id].event_time_us) / 1e6
            for label in event.labels
            if label.transaction_id in known
        ]
        if delays:
            self._metrics.label_delay(event.source, np.maximum(np.array(delays), 0.0))
        state = self._scorer.state
        if state is not None:
            self._metrics.labels_waiting.set(len(state.fold.waiting))

    def take_outcomes(self, reports: Sequence[OutcomeReport]) -> Taken:
        """Log what became of payments.

        Raises:
            Unavailable: the append failed; nothing was kept.
        """
        kept: list[OutcomeReport] = []
        refused: list[RefusedLabel] = []
        latest_us = self._scorer.now_us() + self._future_us
        for index, report in enumerate(reports):
            problem = _check_report(report, latest_us)
            if problem is None:
                kept.append(report)
            else:
                refused.append(RefusedLabel(index, report.transaction_id, *problem))
        if not kept:
            return Taken(0, 0, tuple(refused))
        self._scorer.append(OutcomesReported(tuple(kept)))
        found = len(self._scorer.log.find([report.transaction_id for report in kept]).keys())
        distinct = len({report.transaction_id for report in kept})
        return Taken(len(kept) - (distinct - found), distinct - found, tuple(refused))


def check_batch(sources: Sequence[str], batch_id: str, part: int, source: str, submitter: str) -> None:
    """Refuse a part of a batch for what it says of itself; `sources` are those of the configuration.

    Raises:
        InvalidInput: batch id, part, source or submitter cannot be accepted.
    """
    _check_length("batch_id", batch_id, ID_LENGTH_MAX, "name the batch")
    if part < 0:
        raise InvalidInput("part", f"is {part}", "number parts from 0 up")
    _check_configured(sources, source)
    _check_length("submitter", submitter, ID_LENGTH_MAX, "name who hands it in")
    if submitter == IMPORTER:
        raise InvalidInput(
            "submitter", f"{IMPORTER!r} stands for a history ('fraud import')", "name who hands it in"
        )


def _check_configured(sources: Sequence[str], source: str) -> None:
    if source not in sources:
        raise InvalidInput(
            "source",
            f"{source!r} is not configured",
            f"send one of: {', '.join(sources)} (labels.sources)",
        )


def is_taken_before(log: EventLog, batch_id: str, part: int, submitter: str, digest: str) -> bool:
    """Tell whether a log holds a part of a batch with these very labels.

    Raises:
        Conflict: the part came before with other labels, another submitter began the batch, or it was
            retracted.
    """
    if log.is_retracted(batch_id):
        raise Conflict(
            f"batch_id {batch_id!r} was retracted, and its labels count no more; "
            "send labels that are right under a new batch_id"
        )
    owner = log.batch_owner(batch_id)
    if owner not in (None, submitter):
        raise Conflict(
            f"batch_id {batch_id!r} was begun by {owner}, and a batch is of one submitter; "
            "send your labels under a new batch_id"
        )
    former = log.batch_digest(batch_id, part)
    if former not in (None, digest):
        raise Conflict(
            f"batch_id {batch_id!r} part {part} was taken before with other labels; "
            "send corrections under a new batch_id"
        )
    return former is not None


def _check_length(field: str, text: str, length_max: int, remedy: str) -> None:
    if not text.strip() or len(text) > length_max:
        raise InvalidInput(field, f"has {len(text)} characters", f"{remedy}, 1 to {length_max} characters")


def _check_report(report: OutcomeReport, latest_us: int) -> tuple[str, str] | None:
    if not 0 < len(report.transaction_id) <= ID_LENGTH_MAX:
        return "transaction_id", f"has {len(report.transaction_id)} characters; send 1 to {ID_LENGTH_MAX}"
    if report.outcome is PaymentOutcome.UNSPECIFIED:
        allowed = ", ".join(outcome.name for outcome in PaymentOutcome if outcome)
        return "outcome", f"is not given or unknown; send one of: {allowed}"
    time_us = report.outcome_time_us
    if not EARLIEST_US <= time_us <= latest_us:
        problem = "is before 2000" if time_us < EARLIEST_US else "is no past time"
        return "outcome_time_us", f"{time_us} {problem}; {microseconds_wanted(time_us)}"
    return None


def coordinates_of(entries: dict[str, Entry]) -> dict[str, Coordinates]:
    """Return where each logged transaction stands in feature state."""
    return {
        transaction_id: Coordinates(entry.event.surrogates, entry.event.event_time_us, entry.position)
        for transaction_id, entry in entries.items()
        if isinstance(entry.event, Scored)
    }
