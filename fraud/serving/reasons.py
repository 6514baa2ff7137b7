"""Reasons, computed off the scoring thread so that other rows do not wait.

    a rule or list decided? its name and text ─► what the model's score is made of

They are not logged: features, version and the name of the rule are. Contributions
follow from them, bit for bit, and the ledger knows every rule there ever was. So
the same desk answers a call in flight and `GetDecision` a month later.

A row logged under other features than the service has now is explained from the
archive, which has their names, or not at all.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.reasons import reasons_of
from fraud.errors import ConfigError, FraudError, NotFound
from fraud.policy.lists import list_of
from fraud.policy.rules import RuleSet, rules_digest
from fraud.records import Entry, Outcome, Scored, as_long
from fraud.serving.batcher import Answer, Delivery, ScoreWork
from fraud.serving.champions import Champion
from fraud.v1.scoring_pb2 import Reason

FindArchived = Callable[[str], Entry | None]
"""Returns an archived decision by its transaction, features by the names of today."""
CHAMPIONS_KEPT = 8
"""Bundles held by each worker; an older version is read again when asked for."""
_FEATURE_BYTES = 4
UNREAD = b""
"""In place of features that were logged when the service had others: they fit nothing."""


def wants_reasons(answer: Answer | FraudError) -> bool:
    """Tell whether an answer carries reasons unasked: every outcome but APPROVE."""
    return isinstance(answer, Answer) and answer.scored.decision.outcome is not Outcome.APPROVE


class ReasonsDesk:
    """Two workers, a thread each: one for calls in flight, one for old decisions, whose bundles may be many.

    So nobody who looks at old decisions keeps a decline waiting, or has its champion let go.
    """

    def __init__(
        self,
        load: Callable[[str], Champion],
        feature_count: int,
        since: int,
        reasons_max: int,
        rules: Callable[[str, str], RuleSet | None],
        find_archived: FindArchived,
    ) -> None:
        """`since`: the first position whose features are those of now (`FeatureSpec.held_since`).

        `rules(model, digest)` returns a set of rules that was in force at some time.
        """
        self._feature_count = feature_count
        self._since = since
        self._find_archived = find_archived
        self._live, self._past = (
            _Explainer(name, load, feature_count, reasons_max, rules) for name in ("reasons", "past-reasons")
        )

    def keep(self, champion: Champion) -> None:
        """Take a champion at its swap, so that its first decline finds it loaded."""
        self._live.worker.submit(self._live.remember, champion)

    def explain(
        self, work: ScoreWork, answers: Sequence[Answer | FraudError], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Add reasons to the answers of one call and deliver them to its future."""
        self._live.worker.submit(self._explain, work, answers, Delivery(loop))

    async def explain_one(self, entry: Entry) -> tuple[Reason, ...]:
        """Return the reasons of a logged decision; empty when neither champion nor rule made it.

        Where retention let the bundle go, or features changed since, one reason says so instead.

        Raises:
            Damaged: the bundle is not what was written.
        """
        return await asyncio.get_running_loop().run_in_executor(self._past.worker, self._of_past, entry)

    def _of_past(self, entry: Entry) -> tuple[Reason, ...]:
        scored = entry.event
        assert isinstance(scored, Scored)
        if entry.position < self._since or not fits(scored, self._feature_count):
            # Only here: a look into the archive is too long for calls in flight.
            archived = self._find_archived(scored.transaction_id)
            found = None if archived is None else archived.event
            scored = found if isinstance(found, Scored) else replace(scored, features=UNREAD)
        return self._past.reasons([scored])[0]

    def close(self) -> None:
        """Finish what is queued and stop."""
        for each in (self._live, self._past):
            each.worker.shutdown()

    def _readable(self, answer: Answer) -> Scored:
        """Return what was answered, without features that are not those of now."""
        held = answer.position is None or answer.position >= self._since
        return answer.scored if held else replace(answer.scored, features=UNREAD)

    def _explain(self, work: ScoreWork, answers: Sequence[Answer | FraudError], delivery: Delivery) -> None:
        try:
            wanted = [
                self._readable(answer)
                for answer in answers
                if isinstance(answer, Answer) and (work.with_reasons or wants_reasons(answer))
            ]
            reasons = {
                scored.transaction_id: why
                for scored, why in zip(wanted, self._live.reasons(wanted), strict=True)
            }
            delivery.answer(work.future, [_with(answer, reasons) for answer in answers])
        except Exception as error:  # noqa: BLE001 — the decision is logged; the caller must hear of the failure
            delivery.fail(work.future, error)
        delivery.send()


class _Explainer:
    """A thread, and the bundles it has explained with lately."""

    def __init__(
        self,
        name: str,
        load: Callable[[str], Champion],
        feature_count: int,
        reasons_max: int,
        rules: Callable[[str, str], RuleSet | None],
    ) -> None:
        self._load = load
        self._rules = rules
        self._feature_count = feature_count
        self._reasons_max = reasons_max
        self._champions: OrderedDict[str, Champion] = OrderedDict()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix=name)

    def reasons(self, rows: list[Scored]) -> list[tuple[Reason, ...]]:
        """Return the reasons of each row, or one that says why there are none; on the worker.

        Raises:
            Damaged: a bundle is not what was written.
        """
        by_version: dict[str, list[int]] = {}
        found = [self._of_rule(row) for row in rows]
        for i, row in enumerate(rows):
            if row.decision.version and fits(row, self._feature_count):
                by_version.setdefault(row.decision.version, []).append(i)
            elif row.decision.version:
                found[i] += (_features_changed(row.decision.version),)
        for version, at in by_version.items():
            for i, reasons in zip(at, self._of_version(version, [rows[i] for i in at]), strict=True):
                found[i] += reasons
        return found

    def _of_rule(self, row: Scored) -> tuple[Reason, ...]:
        """Return the reason that names the rule or list that decided; none where the model did."""
        name = row.decision.rule
        if not name:
            return ()
        list_name = list_of(name)
        if list_name:
            text = f"the {name.partition(':')[2]} is on the {list_name} list"
            return (Reason(code=f"{list_name.upper()}_LIST", feature=name, text=text),)
        rules = self._rules(row.model, rules_digest(row.decision.policy_version))
        rule = rules.rule(name) if rules is not None else None
        return (Reason(code="RULE", feature=name, text=rule.text if rule is not None else f"rule {name}"),)

    def _of_version(self, version: str, rows: list[Scored]) -> list[tuple[Reason, ...]]:
        try:
            champion = self._champions.get(version) or self.remember(self._load(version))
        except NotFound:
            text = f"the bundle of {version} is no longer kept, so it cannot be explained"
            return [(Reason(code="BUNDLE_GONE", text=text),)] * len(rows)
        except ConfigError:
            return [(_features_changed(version),)] * len(rows)
        self._champions.move_to_end(version)
        rows = readable(rows, self._feature_count, [champion])
        matrix = champion.matrix(features_of(rows, self._feature_count), champion.words(rows))
        return [
            tuple(
                Reason(code=why.code, feature=why.feature, contribution=why.contribution, text=why.text)
                for why in row
            )
            for row in reasons_of(champion.bundle, matrix, self._reasons_max)
        ]

    def remember(self, champion: Champion) -> Champion:
        """Take a bundle, and let go of the one explained with longest ago; on the worker."""
        self._champions[champion.version] = champion
        while len(self._champions) > CHAMPIONS_KEPT:
            self._champions.popitem(last=False)
        return champion


def _features_changed(version: str) -> Reason:
    text = f"the service no longer has the features that {version} saw, so it cannot be explained"
    return Reason(code="FEATURES_CHANGED", text=text)


def fits(row: Scored, feature_count: int) -> bool:
    """Tell whether a row was logged with as many features as the service has."""
    return len(row.features) == _FEATURE_BYTES * feature_count


def readable(rows: Sequence[Scored], feature_count: int, champions: Sequence[Champion]) -> list[Scored]:
    """Return the rows that `fits`, with "" for words that `champions` read and were no fields yet."""
    words = 1 + max((place for champion in champions for place in champion.categoricals), default=-1)
    return [
        row
        if len(row.categoricals) >= words
        else replace(row, categoricals=as_long(row.categoricals, words, ""))
        for row in rows
        if fits(row, feature_count)
    ]


def features_of(rows: Sequence[Scored], feature_count: int) -> NDArray[np.float32]:
    """Return the logged features of rows as float32[n, F]."""
    joined = b"".join(row.features for row in rows)
    return np.frombuffer(joined, dtype="<f4").reshape(len(rows), feature_count)


def _with(answer: Answer | FraudError, reasons: dict[str, tuple[Reason, ...]]) -> Answer | FraudError:
    if isinstance(answer, FraudError):
        return answer
    return Answer(answer.scored, answer.arrival_time_us, reasons.get(answer.scored.transaction_id, ()))
