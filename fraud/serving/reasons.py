"""Reasons, computed off the scoring thread so that other rows do not wait.

    a rule or list decided? its name and text ─► what the model's score is made of

They are not logged: features, version and the name of the rule are. Contributions
follow from them, bit for bit, and the ledger knows every rule there ever was. So
the same desk answers a call in flight and `GetDecision` a month later.

A row logged under other features than the service has now is explained from the
archive, which has their names, or not at all.

Explaining a row costs more than scoring it. Where declines come faster than they are explained,
the decision goes out in time, and without: who waits longer for reasons than `server.reasons_wait_max`,
or than his own deadline, would miss the answer as well.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from fraud.bundle.reasons import reasons_of
from fraud.errors import ConfigError, FraudError, NotFound
from fraud.policy.lists import list_of
from fraud.policy.rules import RuleSet, rules_digest
from fraud.records import Entry, Outcome, Scored
from fraud.serving.backlog import Backlog
from fraud.serving.batcher import Answer, Delivery, ScoreWork
from fraud.serving.champions import Champion
from fraud.serving.logged_features import LoggedFeatures
from fraud.settings.server import Server
from fraud.v1.scoring_pb2 import Reason

_log = structlog.get_logger("fraud.serving.reasons")
FindArchived = Callable[[str], Entry | None]
"""Returns an archived decision by its transaction, features by the names of today."""
CHAMPIONS_KEPT = 8
"""Bundles held by each worker beside those that serve; an older version is read again when asked for."""
NOT_EXPLAINED = Reason(code="NOT_EXPLAINED", text="there was no time to explain it; GetDecision does")
PART_ROWS = 32
"""Rows explained in one go: the deadline of a call is looked at in between."""
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
        logged: LoggedFeatures,
        limits: Server,
        rules: Callable[[str, str], RuleSet | None],
        find_archived: FindArchived,
        unexplained: Callable[[int], None],
    ) -> None:
        """`rules(model, digest)` returns a set of rules that was in force at some time.

        `unexplained(count)` is told of decisions that went without.
        """
        self._logged = logged
        self._wait_max_s = limits.reasons_wait_max / 1e6
        self._backlog = Backlog()
        self._find_archived = find_archived
        self._unexplained = unexplained
        self._live, self._past = (
            _Explainer(name, load, logged, limits.reasons_max, rules) for name in ("reasons", "past-reasons")
        )

    def keep(self, champion: Champion) -> None:
        """Take a champion at its swap, so that its first decline finds it loaded."""
        self._live.worker.submit(self._live.keep, champion)

    def explain(self, work: ScoreWork, answers: Sequence[Answer | FraudError], delivery: Delivery) -> None:
        """Add reasons to the answers of one call and deliver them to its future; on the scoring thread.

        Where they would come too late, the answers are added to `delivery` as they are.
        """
        rows = sum(_is_wanted(work, answer) for answer in answers)
        left_s = work.answer_by_s - time.monotonic()
        waits_s = left_s if work.with_reasons else min(left_s, self._wait_max_s)
        if self._backlog.wait_s > waits_s:
            delivery.answer(work.future, self._told(work, answers, {}))
            return
        self._backlog.enter(rows)
        self._live.worker.submit(self._explain, work, answers, rows, Delivery(delivery.loop))

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
        if entry.position < self._logged.since or not self._logged.fits(scored):
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
        held = answer.position is None or answer.position >= self._logged.since
        return answer.scored if held else replace(answer.scored, features=UNREAD)

    def _explain(
        self, work: ScoreWork, answers: Sequence[Answer | FraudError], rows: int, delivery: Delivery
    ) -> None:
        try:
            if not work.future.done():  # else the caller gave up; it is explained when somebody asks
                delivery.answer(work.future, self._explained(work, answers))
        finally:
            self._backlog.leave(rows)
        delivery.send()

    def _explained(
        self, work: ScoreWork, answers: Sequence[Answer | FraudError]
    ) -> list[Answer | FraudError]:
        """Return the answers with their reasons, as many as there is time for."""
        wanted = [self._readable(it) for it in answers if isinstance(it, Answer) and _is_wanted(work, it)]
        reasons: dict[str, tuple[Reason, ...]] = {}
        for start in range(0, len(wanted), PART_ROWS):
            part = wanted[start : start + PART_ROWS]
            began_s = time.monotonic()
            if work.answer_by_s < began_s:
                break
            try:
                found = self._live.reasons(part)
            except Exception:  # noqa: BLE001 — the decision is logged, and its caller must hear of it
                _log.exception("not explained")
                break
            self._backlog.learn(len(part), time.monotonic() - began_s)
            reasons |= {row.transaction_id: why for row, why in zip(part, found, strict=True)}
        return self._told(work, answers, reasons)

    def _told(
        self,
        work: ScoreWork,
        answers: Sequence[Answer | FraudError],
        reasons: Mapping[str, tuple[Reason, ...]],
    ) -> list[Answer | FraudError]:
        """Return the answers with the reasons that were found; one that should have some says so else."""
        told: list[Answer | FraudError] = []
        unexplained = 0
        for answer in answers:
            if isinstance(answer, Answer) and _is_wanted(work, answer):
                why = reasons.get(answer.scored.transaction_id)
                unexplained += why is None
                told.append(replace(answer, reasons=(NOT_EXPLAINED,) if why is None else why))
            else:
                told.append(answer)
        self._unexplained(unexplained)
        return told


class _Explainer:
    """A thread, and the bundles it has explained with lately."""

    def __init__(
        self,
        name: str,
        load: Callable[[str], Champion],
        logged: LoggedFeatures,
        reasons_max: int,
        rules: Callable[[str, str], RuleSet | None],
    ) -> None:
        self._load = load
        self._rules = rules
        self._logged = logged
        self._reasons_max = reasons_max
        self._serving: dict[str, Champion] = {}
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
            if row.decision.version and self._logged.fits(row):
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
            champion = self._held(version) or self._remember(self._load(version))
        except NotFound:
            text = f"the bundle of {version} is no longer kept, so it cannot be explained"
            return [(Reason(code="BUNDLE_GONE", text=text),)] * len(rows)
        except ConfigError:
            return [(_features_changed(version),)] * len(rows)
        rows = self._logged.readable(rows, [champion])
        matrix = champion.matrix(self._logged.matrix(rows), champion.words(rows))
        return [
            tuple(
                Reason(code=why.code, feature=why.feature, contribution=why.contribution, text=why.text)
                for why in row
            )
            for row in reasons_of(champion.bundle, matrix, self._reasons_max)
        ]

    def keep(self, champion: Champion) -> None:
        """Take the champion of a model in place of its former one; on the worker."""
        self._serving[champion.bundle.model] = champion

    def _held(self, version: str) -> Champion | None:
        """Return a version that is held; one that does not serve is the newest of those from then on."""
        if version in self._champions:
            self._champions.move_to_end(version)
            return self._champions[version]
        return next((it for it in self._serving.values() if it.version == version), None)

    def _remember(self, champion: Champion) -> Champion:
        """Take a bundle, and let go of the one explained with longest ago."""
        self._champions[champion.version] = champion
        while len(self._champions) > CHAMPIONS_KEPT:
            self._champions.popitem(last=False)
        return champion


def _is_wanted(work: ScoreWork, answer: Answer | FraudError) -> bool:
    return wants_reasons(answer) or (work.with_reasons and isinstance(answer, Answer))


def _features_changed(version: str) -> Reason:
    text = f"the service no longer has the features that {version} saw, so it cannot be explained"
    return Reason(code="FEATURES_CHANGED", text=text)
