"""What an operator can do about pollution, each as one call under load.

nothing | retrain, guarded | rollback | rollback, labels muted | exclusion | exclusion and retrain
  ─▶ which version is to serve from now on, and since when it was asked for
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.pollution_feed import SUBMITTER
from benchmarks.pollution_service import ACTOR, MODEL, Desk
from fraud.v1 import models_pb2

REASON = "polluted data"


@dataclass(frozen=True)
class Repair:
    """What was done: the version that is to serve ("" where that is not asked), and by which clock.

    `asked` is of `time.perf_counter`; `state_s` are the seconds until the
    feature state no longer counted what is excluded, NaN where nothing is;
    `stopped` tells that guard or sentinels kept a retrain from being promoted.
    """

    version: str = ""
    asked: float = float("nan")
    state_s: float = float("nan")
    text: str = ""
    stopped: bool = False


Remedy = Callable[[Desk], Repair]


def nothing(desk: Desk) -> Repair:
    """Let it be."""
    del desk
    return Repair()


def retrain(desk: Desk) -> Repair:
    """Retrain on what is known, guarded as the place is configured; nobody helps by hand."""
    (verdict,) = desk.retrain().verdicts
    forgot = verdict.verdict == "REJECT" and "forgot" in verdict.reason
    return Repair(text=said(verdict), stopped=forgot or verdict.verdict == "FROZEN")


def said(verdict: models_pb2.CycleVerdict) -> str:
    """Return a verdict in a line: of many findings, the first."""
    first, *more = verdict.reason.split("; ")
    others = f" (and {len(more)} more)" if more else ""
    return f"{verdict.version} {verdict.verdict}: {first}{others}".strip()


def roll_back(desk: Desk) -> Repair:
    """Put back what served before the polluted champion did, and nothing else."""
    return _roll_back(desk, 0)


def roll_back_muted(desk: Desk) -> Repair:
    """Put it back, and mute every label since the first polluted one."""
    batches = desk.client.list_batches(source="processor", page_size=1).batches
    return _roll_back(desk, batches[0].arrival_time_us)


def _roll_back(desk: Desk, mute_since_us: int) -> Repair:
    served = desk.client.get_champion(MODEL).since_us
    asked = time.perf_counter()
    reply = desk.client.rollback(
        MODEL, before_us=served, mute_labels_since_us=mute_since_us, actor=ACTOR, reason=REASON
    )
    if not reply.applied:
        raise RuntimeError(f"the rollback to {reply.to_version} is not in effect")
    text = f"{reply.muted_labels:,} labels muted" if mute_since_us else ""
    return Repair(reply.to_version, asked, _in_force(desk, reply.mute_seq, asked), text)


def exclude(desk: Desk) -> Repair:
    """Exclude the polluted data, which rolls back by itself; no retrain."""
    asked, reply = _exclude(desk, retrain=False)
    state_s = _in_force(desk, reply.exclusion_seq, asked)
    version = reply.replacements[0].to_version
    return Repair(version, asked, state_s, f"{reply.labels + reply.transactions:,} events excluded")


def exclude_and_retrain(desk: Desk) -> Repair:
    """Exclude the polluted data, and wait for the version that is retrained without it."""
    asked, reply = _exclude(desk, retrain=True)
    state_s = _in_force(desk, reply.exclusion_seq, asked)

    def retrained() -> bool:
        steps = desk.client.list_exclusions(reply.exclusion_seq)[0].steps
        failed = [step.text for step in steps if step.step == "retrain failed"]
        if failed:
            raise RuntimeError(f"the retrain failed: {failed[0]}")
        return any(step.step == "retrained" and step.done for step in steps)

    desk.eventually(retrained, "the retrain after the exclusion")
    newest = desk.client.list_versions(MODEL, page_size=1).versions[0]
    if newest.verdict == "REJECT":
        return Repair("", asked, state_s, f"{newest.version} REJECT, so {desk.champion()} serves on")
    text = desk.crown_newest()
    return Repair(desk.champion(), asked, state_s, text)


def _exclude(desk: Desk, *, retrain: bool) -> tuple[float, models_pb2.ExcludeDataResponse]:
    if desk.feed.world == "outage":
        from_us, to_us = desk.feed.outage_us
        selection = models_pb2.Selection(transactions=True, from_us=from_us, to_us=to_us)
    else:
        selection = models_pb2.Selection(submitter=SUBMITTER)
    asked = time.perf_counter()
    reply = desk.client.exclude(selection, no_retrain=not retrain, actor=ACTOR, reason=REASON)
    return asked, reply


def _in_force(desk: Desk, seq: int, asked: float) -> float:
    """Wait until the feature state counts by an exclusion; return the seconds since it was asked for."""
    if not seq:
        return float("nan")

    def holds() -> bool:
        steps = desk.client.list_exclusions(seq)[0].steps
        return any(step.step == "in force" and step.done for step in steps)

    desk.eventually(holds, "the exclusion in force")
    return time.perf_counter() - asked
