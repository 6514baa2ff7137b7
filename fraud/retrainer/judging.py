"""The end of a cycle: every challenger that waits before the gate, and what follows from its answers.

    pending challengers, without those whose verdict stands and who wait
      → a verdict each, on the ledger with cut and view of what it was read from
      → automatic: the best that passed is promoted, the rest superseded
        approval: what is older than the best waits no longer · shadow: it waits for its time
      → what is left beyond `gate.pending_max` is let go

A promotion names the verdict that it rests on. An exclusion may hide what that was read from, even between
the verdict and the promotion; the ledger refuses it then, and the next cycle judges again.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from fraud.errors import NotAllowedNow
from fraud.gate.verdict import Verdict, judge
from fraud.registry.approval import awaiting_approval
from fraud.registry.store import promote
from fraud.registry.version import VersionState
from fraud.registry.warm import let_go
from fraud.retrainer.casework import Casework, Rival
from fraud.training.history import History

if TYPE_CHECKING:
    from fraud.retrainer.cycle import Workshop

_log = structlog.get_logger("fraud.retrainer.judging")
ACTOR = "retrainer"


@dataclass(frozen=True, slots=True)
class CycleVerdict:
    """What a cycle concluded about one version."""

    model: str
    version: str
    verdict: str
    way: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return the verdict for the ledger."""
        return {
            "model": self.model,
            "version": self.version,
            "verdict": self.verdict,
            "way": self.way,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class _Passed:
    """A version that the gate lets pass, and the entry that says so."""

    version: VersionState
    verdict: Verdict
    seq: int


def judge_challengers(
    shop: "Workshop", model: str, champion: Rival | None, casework: Casework, seen: History
) -> list[CycleVerdict]:
    """Bring every pending challenger before the gate; promote the best that may, or let them wait.

    What awaits approval, or its time in shadow, is not judged again: its verdict stands. What cannot be
    scored any more, its bundle or a feature being gone, is let go.
    """
    passed: list[_Passed] = []
    waiting = waiting_of(shop, model)
    names = {version.version for version in waiting}
    pending = [version for version in shop.state().pending(model) if version.version not in names]
    what = "awaits approval" if shop.settings.gate.mode == "approval" else "in shadow"
    concluded = [_waits(version, what) for version in waiting]
    for version in pending:
        shop.stopping.check()
        rival = Rival.read(version, shop.bundles, shop.spec)
        if rival.unreadable:
            if drop(shop, version, rival.unreadable):
                concluded.append(CycleVerdict(model, version.version, "REJECT", "", rival.unreadable))
            continue
        verdict = judge(casework.case(rival, champion), shop.settings.gate)
        seq = _record_verdict(shop, version, champion, verdict, seen)
        concluded.append(CycleVerdict(model, version.version, verdict.outcome, verdict.way, verdict.reason))
        if verdict.outcome == "PROMOTE":
            passed.append(_Passed(version, verdict, seq))
    best = max(passed, key=_strength, default=None)
    if best is not None and shop.settings.gate.mode == "automatic":
        refused = _promote(shop, best, champion.state.version if champion else "")
        concluded = [_not_promoted(it, best, refused) for it in concluded]
    if best is not None and shop.settings.gate.mode == "approval":
        _supersede(shop, model, best.version)
    _trim(shop, model)
    return concluded


def _record_verdict(
    shop: "Workshop", version: VersionState, champion: Rival | None, verdict: Verdict, seen: History
) -> int:
    """Enter a verdict with what it was read from; return the entry's number."""
    return shop.record(
        "VerdictGiven",
        {
            "version": version.version,
            "model": version.model,
            "verdict": verdict.outcome,
            "way": verdict.way,
            "against": champion.state.version if champion else "",
            "unreadable": champion.unreadable if champion else "",
            "report": verdict.to_dict(),
            "evidence": {
                "cut": {"position": seen.cut.position, "time_us": seen.cut.time_us},
                "view": seen.view.to_text(),
            },
        },
        verdict.reason,
    )


def _promote(shop: "Workshop", best: _Passed, expected: str) -> str:
    """Promote what passed and supersede the others; return why not, "" when it was done.

    Where an exclusion or another champion has come meanwhile, nobody else is tried: the others were judged
    on the same data against the same champion, and wait for the next cycle as well.
    """
    name = best.version.version
    try:
        promote_version(shop, best.version, expected, best.verdict.reason, best.seq)
    except NotAllowedNow as error:
        _log.warning("not promoted", model=best.version.model, version=name, why=error)
        return str(error)
    for version in shop.state().pending(best.version.model):
        drop(shop, version, f"superseded by {name}")
    return ""


def _not_promoted(verdict: CycleVerdict, best: _Passed, refused: str) -> CycleVerdict:
    """Say of the version that was refused why it was not promoted; others stay as they are."""
    if not refused or verdict.version != best.version.version:
        return verdict
    return replace(verdict, reason=f"not promoted: {refused} ({verdict.reason})")


def waiting_of(shop: "Workshop", model: str) -> list[VersionState]:
    """Return what awaits a person's approval or its time in shadow; nothing where promotion is automatic.

    What passed as an emergency takes a person: where none is asked any more, it is judged anew.
    """
    mode = shop.settings.gate.mode
    found = awaiting_approval(shop.state(), model) if mode != "automatic" else []
    return [it for it in found if mode == "approval" or it.verdicts[-1].way != "emergency"]


def _waits(version: VersionState, what: str) -> CycleVerdict:
    verdict = version.verdicts[-1]
    reason = f"{what}: {verdict.report['reason']}"
    return CycleVerdict(version.model, version.version, verdict.verdict, verdict.way, reason)


def _supersede(shop: "Workshop", model: str, best: VersionState) -> None:
    """Let go of what awaits approval and is older than a version that awaits it now.

    Where an exclusion has come meanwhile, it does not, and nobody gives way to it.
    """
    waiting = waiting_of(shop, model)
    if best.version not in [version.version for version in waiting]:
        return
    for version in waiting:
        if version.cut_time_us < best.cut_time_us:
            drop(shop, version, f"superseded by {best.version}")
        else:
            _log.info("awaits approval", model=model, version=version.version)


def _strength(passed: _Passed) -> tuple[int, float]:
    """Order promotable challengers: the newest cut first, then average precision.

    Average precision compares only challengers of one cut: an older one was
    judged on days before the newest attacks, which were easier.
    """
    value = passed.verdict.check("average_precision_challenger").value
    return (passed.version.cut_time_us, value if value is not None else 0.0)


def promote_version(
    shop: "Workshop", version: VersionState, expected: str, reason: str, verdict_seq: int
) -> None:
    """Promote a version in place of `expected` ("" for none), on probation as configured.

    It rests on the verdict of entry `verdict_seq`, and happens only while that stands.

    Raises:
        StaleHead, NotAllowedNow: as `fraud.registry.store.promote`.
    """
    promote(
        shop.registry.store,
        version.model,
        version.version,
        expected=expected,
        actor=ACTOR,
        reason=reason,
        time_us=shop.clock.now_us(),
        probation_us=shop.settings.probation_us,
        verdict_seq=verdict_seq,
    )
    _log.info("promoted", model=version.model, version=version.version, instead_of=expected, why=reason)


def _trim(shop: "Workshop", model: str) -> None:
    """Let go of challengers beyond `gate.pending_max`, a recipe's newest last; who passed and waits stays."""
    waiting = {version.version for version in waiting_of(shop, model)}
    pending = [version for version in shop.state().pending(model) if version.version not in waiting]
    for version in let_go(pending, shop.settings.gate.pending_max):
        drop(shop, version, "a newer one of its recipe, or of another, waits; gate.pending_max reached")


def drop(shop: "Workshop", version: VersionState, why: str) -> bool:
    """Let go of a challenger, and tell whether; where a person has promoted it meanwhile, it stays."""
    try:
        shop.record("VersionDropped", {"version": version.version, "why": why}, why)
    except NotAllowedNow as error:
        _log.info("not let go", model=version.model, version=version.version, why=error)
        return False
    return True
