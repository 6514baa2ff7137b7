"""The rows of a verdict: each one figure, its bound, its interval, and what that means.

`passed` is None for information that decides nothing. A figure that is not
defined (no frauds, no champion) is None, so a check is plain JSON.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from fraud.clock import DAY_US
from fraud.evaluation.counts import burst_interval
from fraud.evaluation.resampling import Figures, Interval
from fraud.gate.eprocess import e_of, refresh_log_e, superiority_log_e
from fraud.gate.evidence import Evidence
from fraud.gate.slices import Slice
from fraud.gate.votes import Votes
from fraud.records import Outcome
from fraud.settings.learning import Gate

NEWEST_SHARE = 1 / 3
"""The newest attacks are those of the last third of the days on which an attack was first seen.

Not of the days with evidence: after a quiet spell those would hold no attack, and nothing would be asked.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One bound of the gate, or one row of information (`passed` None)."""

    name: str
    value: float | None
    bound: float | None
    low: float | None
    high: float | None
    passed: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What a bundle's own thresholds make of recent traffic: alerts are all but APPROVE."""

    rows: int
    alerts: int
    declines: int

    @classmethod
    def of(cls, outcomes: NDArray[np.integer]) -> Self:
        """Count predicted outcomes, numbers as in `Outcome`."""
        alerts = int(np.sum(outcomes != Outcome.APPROVE))
        return cls(len(outcomes), alerts, int(np.sum(outcomes == Outcome.DECLINE)))


def check(
    name: str,
    value: float,
    passed: bool | None,
    reason: str,
    *,
    bound: float | None = None,
    low: float = math.nan,
    high: float = math.nan,
) -> Check:
    """Build a check; what is not finite becomes None."""
    shown = None if bound is None else float(bound)
    return Check(name, _finite(value), shown, _finite(low), _finite(high), passed, reason)


def _finite(figure: float) -> float | None:
    return float(figure) if math.isfinite(figure) else None


def self_test(ok: bool, text: str) -> Check:
    """A bundle must give its self-test scores bit for bit."""
    return check("self_test", float(ok), ok, text, bound=1.0)


def bundle_bytes(size: int, gate: Gate) -> Check:
    """What a scorer keeps of a bundle must fit into its memory, beside other versions of other models."""
    most = gate.bundle_bytes_max
    fits = size <= most
    reason = f"a scorer keeps {size:,} bytes of the bundle, {most:,} are allowed"
    return check("bundle_bytes", size, fits, reason, bound=most)


def outcome_shift(
    name: str,
    challenger: tuple[int, int],
    champion: tuple[int, int] | None,
    most: float | None,
    promised: tuple[int, int] | None = None,
) -> Check:
    """A rate of outcomes must not jump: rows with it and rows in all, for both sides.

    `promised` is the champion's rate on the traffic it was promoted for: a
    champion that a new attack has blinded alerts too rarely, and whoever sees
    the attack again would look like a jump. The nearer of the two rates counts.

    Half a row is added to each side's counts, so that a side without any has a
    ratio as well. Without a bound (`most` None) it is information.
    """
    noun, _, unadjusted = name.partition("_shift")
    if champion is None or not (champion[1] and challenger[1]):
        why = "there is no champion" if champion is None else "there was no recent traffic"
        return check(name, math.nan, None, f"{why} to compare {noun}s with", bound=most)
    sides = [(champion, "the champion's")]
    if promised is not None and promised[1]:
        sides.append((promised, "what the champion was promoted with,"))
    mine = (challenger[0] + 0.5) / (challenger[1] + 1)
    against = [(mine * (rows + 1) / (count + 0.5), count, rows, whose) for (count, rows), whose in sides]
    ratio, count, rows, whose = min(against, key=lambda side: abs(math.log(side[0])))
    where = "at the champion's thresholds" if unadjusted else "on recent traffic"
    reason = (
        f"{challenger[0] / challenger[1]:.2%} {noun}s {where} against {whose} "
        f"{count / rows:.2%}: {ratio:.2f} times as many"
    )
    if most is None:
        return check(name, ratio, None, reason)
    passed = 1 / most <= ratio <= most
    ending = "within" if passed else "outside"
    return check(name, ratio, passed, f"{reason}, {ending} {1 / most:.2f} to {most:.2f}", bound=most)


def alerts(challenger: OutcomeCounts, champion: OutcomeCounts | None, gate: Gate) -> Check:
    """No version may alert on much of recent traffic, unless the champion alerts on as much of it.

    Then traffic is to blame, a flood of tests say, and who alerts on less must not be refused.
    """
    if not challenger.rows:
        return check("alerts", math.nan, None, "there was no recent traffic", bound=gate.alerts_max)
    share = challenger.alerts / challenger.rows
    theirs = champion.alerts / champion.rows if champion is not None and champion.rows else 0.0
    reason = f"{share:.2%} alerts on recent traffic, {max(gate.alerts_max, theirs):.2%} are allowed"
    return check("alerts", share, share <= max(gate.alerts_max, theirs), reason, bound=gate.alerts_max)


def evidence_frauds(evidence: Evidence, gate: Gate) -> Check:
    """There must be enough matured frauds to say anything."""
    frauds, least, days = evidence.frauds, gate.evidence_frauds_min, evidence.day_count
    missing = least - frauds
    if missing <= 0:
        reason = f"{frauds} matured frauds in {days} days"
        return check("evidence_frauds", frauds, True, reason, bound=least)
    reason = f"{missing} frauds are missing: {frauds} matured in {days} closed days, {least} are needed"
    hidden = evidence.left_out.frauds_expected
    if frauds + hidden >= least:
        rows = evidence.left_out.censored + evidence.left_out.mirrored
        reason += (
            f"; the evidence is censored: {rows} rows that were declined, or challenged or reviewed without "
            f"a label, or mirrored, hold about {hidden:.0f} frauds no label can reach; raise exploration, "
            "report outcomes"
        )
    elif frauds:
        reason += f"; at {frauds / days:.1f} a day expect them in {math.ceil(missing * days / frauds)} days"
    else:
        reason += "; none was seen yet, so there is no rate to expect them by"
    return check("evidence_frauds", frauds, False, reason, bound=least)


def calibration(evidence: Evidence, gate: Gate) -> Check:
    """Over all evidence, expected ÷ observed frauds must not contradict [1/ratio, ratio]."""
    expected = float(evidence.challenger_scores.sum())
    return _calibration("calibration", "the scores expect", expected, evidence.clusters, gate)


def calibration_top(evidence: Evidence, gate: Gate) -> Check:
    """The same among the challenger's alerts, where scores turn into answers."""
    top = evidence.challenger_alerts
    expected = float(evidence.challenger_scores[top].sum())
    words = f"among {int(top.sum())} alerts within the budget the scores expect"
    return _calibration("calibration_top", words, expected, evidence.clusters[top], gate)


def _calibration(name: str, words: str, expected: float, clusters: NDArray[np.intp], gate: Gate) -> Check:
    """Compare by the 95 % interval of the observed count.

    `clusters` int[n] numbers each row's attack, −1 for honest ones. Scores that expect too many meet the
    exact Poisson interval. For those that expect too few, the fifty frauds of a ring that nobody could
    foresee are one surprise, not fifty: the low end is that of a count in bursts. It is no lower than
    without the largest attack, or whoever is large enough would excuse all that is missed beside him.
    """
    most = gate.calibration_ratio_max
    sizes = np.sort(np.unique(clusters[clusters >= 0], return_counts=True)[1])
    observed = int(sizes.sum())
    most_seen = burst_interval(np.ones(observed, np.int64))[1]
    least_seen = max(burst_interval(sizes)[0], burst_interval(sizes[:-1])[0])
    low, high = expected / most_seen, expected / least_seen if least_seen else math.inf
    passed = low <= most and high >= 1 / most
    ratio = expected / observed if observed else math.nan
    reason = f"{words} {expected:.1f} frauds, {observed} were observed in {len(sizes)} attacks"
    if not passed:
        reason += f"; off by more than {most:g} times even at the end of the interval"
    return check(name, ratio, passed, reason, bound=most, low=low, high=high)


def floor(name: str, words: str, figure: Interval, least: float) -> Check:
    """A first version must reach an absolute floor."""
    passed = figure.value >= least  # False for NaN
    reason = f"{words} is {figure.value:.3f}, {'at least' if passed else 'below the floor of'} {least:.3f}"
    return check(name, figure.value, passed, reason, bound=least, low=figure.low, high=figure.high)


def floor_attacks(votes: Votes, gate: Gate) -> Check:
    """A first version must be judged by more than one attack: all frauds of a ring are caught, or none."""
    seen, least = len(votes), gate.evidence_attacks_min
    reason = f"{seen} attacks in the evidence, {least} are needed where no champion is there to compare with"
    return check("floor_attacks", seen, seen >= least, reason, bound=least)


def superiority(votes: Votes, required: float) -> Check:
    """Does the challenger catch attacks the champion misses, beyond doubt?"""
    e = e_of(superiority_log_e(votes.wins, votes.losses))
    passed = e >= required
    reason = (
        f"{votes.wins} attacks caught by the challenger alone, {votes.losses} by the champion alone: "
        f"E {e:.3g}, {required:g} needed"
    )
    return check("superiority", e, passed, reason, bound=required)


def inferiority(votes: Votes, required: float) -> Check:
    """Passes unless the champion is better beyond doubt: the same process the other way round."""
    e = e_of(superiority_log_e(votes.losses, votes.wins))
    worse = e >= required
    verb = "is demonstrably worse" if worse else "is not demonstrably worse"
    return check(
        "inferiority", e, not worse, f"the challenger {verb}: E {e:.3g} of {required:g}", bound=required
    )


def slice_recall(part: Slice, tested: int, gate: Gate) -> Check:
    """In no slice may recall within the budget be lower by more than the margin, beyond doubt.

    `tested` is the number of slices tested together. The interval is that of
    the win share (exact, at the level that the slices share), times the share
    of attacks on which the sides differ.
    """
    votes, margin = part.votes, gate.slices.margin
    required = gate.e_value * max(1, tested)
    wins, losses, units = votes.wins, votes.losses, len(votes)
    lost = (losses - wins) / units if units else math.nan
    e = e_of(superiority_log_e(losses, wins))
    worse = e >= required and lost > margin
    low, high = _win_interval(wins, losses, 0.5 / required)
    differing = (wins + losses) / units if units else math.nan
    reason = (
        f"of {units} attacks in {part.rows:,} rows {wins} caught by the challenger alone, {losses} by the "
        f"champion alone; worse: E {e:.3g} of {required:g}"
    )
    if not part.tested:
        reason += f"; fewer than {gate.slices.attacks_min} attacks are not tested"
    return check(
        f"slice_{part.name}",
        -lost,
        None if not part.tested else not worse,
        reason,
        bound=-margin,
        low=(2 * low - 1) * differing,
        high=(2 * high - 1) * differing,
    )


def attack(part: Slice, required: float) -> Check:
    """Is the challenger better on a confirmed attack, beyond doubt? A way to promote, not a guard."""
    wins, losses = part.votes.wins, part.votes.losses
    e = e_of(superiority_log_e(wins, losses))
    reason = (
        f"of {len(part.votes)} cards hit {wins} caught by the challenger alone, {losses} by the "
        f"champion alone: E {e:.3g}, {required:g} needed"
    )
    return check(part.name, e, e >= required, reason, bound=required)


def value_difference(votes: Votes) -> Check:
    """The challenger must not catch more attacks and less money, payment by payment."""
    gained = int(votes.gained_minor.sum())
    total = int(votes.amount_minor.sum())
    share = gained / total if total else 0.0
    verb = "more" if gained >= 0 else "less"
    reason = f"{abs(gained) / 100:,.2f} {verb} fraud value caught than the champion, of {total / 100:,.2f}"
    return check("value_difference", share, gained >= 0, reason, bound=0.0)


def champion_age(age_us: int, gate: Gate) -> Check:
    """A refresh needs a champion past its age; value and bound in days."""
    age, least = age_us / DAY_US, gate.champion_age / DAY_US
    old = age_us >= gate.champion_age
    reason = (
        f"the champion is {age:.1f} days old, a refresh is {'due' if old else 'not due before'} {least:g}"
    )
    return check("champion_age", age, old, reason, bound=least)


def refresh(votes: Votes, gate: Gate, required: float) -> Check:
    """Is the challenger's recall not lower by the margin, beyond doubt?"""
    e = e_of(refresh_log_e(votes.differences, gate.refresh_margin))
    margin = f"recall not lower by {gate.refresh_margin:.3f} on {len(votes.days)} attacks"
    reason = f"{margin}: E {e:.3g}, {required:g} needed"
    return check("refresh", e, e >= required, reason, bound=required)


def newest_attacks(votes: Votes, gate: Gate) -> Check:
    """Of the newest attacks, however long ago they were, the challenger may catch hardly fewer."""
    days = np.unique(votes.days)
    newest = votes.days >= days[int(len(days) * (1 - NEWEST_SHARE))] if len(days) else votes.days > 0
    net = int(votes.differences[newest].sum())
    reason = f"{net:+d} attacks caught against the champion among the newest {int(newest.sum())}"
    least = -gate.newest_lost_max
    return check("newest_attacks", net, net >= least, reason, bound=float(least))


def win_share(votes: Votes) -> Check:
    """Information: the challenger's share of discordant attacks, exact 95 % interval (Clopper–Pearson)."""
    wins, losses = votes.wins, votes.losses
    low, high = _win_interval(wins, losses, 0.025)
    share = wins / (wins + losses) if wins + losses else math.nan
    reason = f"of {wins + losses} attacks that one side alone caught, the challenger's share"
    return check("win_share", share, None, reason, low=low, high=high)


def _win_interval(wins: int, losses: int, tail: float) -> tuple[float, float]:
    """Return the exact interval of a share of wins that leaves `tail` out on each side."""
    low = float(beta.ppf(tail, wins, losses + 1)) if wins else 0.0
    high = float(beta.ppf(1 - tail, wins + 1, losses)) if losses else 1.0
    return low, high


def label_delay(source: str, frauds: int, median_days: int, quantile_days: int, maturity_us: int) -> Check:
    """Information: how late a source's fraud labels come, beside the maturity that is used; days."""
    reason = (
        f"half of {frauds:,} matured fraud labels came within {median_days} days, the slow ones within "
        f"{quantile_days}; a payment counts as matured after {maturity_us / DAY_US:g}"
    )
    name = f"label_delay_{source}"
    return check(name, quantile_days, None, reason, bound=maturity_us / DAY_US, low=median_days)


def figures(side: str, given: Figures) -> list[Check]:
    """Information: average precision and recall within the budget of one side, or their difference."""
    return [
        check(f"{name}_{side}", figure.value, None, f"{words}, {side}", low=figure.low, high=figure.high)
        for name, words, figure in (
            ("average_precision", "average precision", given.average_precision),
            ("recall", "recall within the alert budget", given.recall),
        )
    ]


def left_out(evidence: Evidence) -> Check:
    """Information: rows that are no evidence, and why."""
    out = evidence.left_out
    total = out.early + out.not_matured + out.ruled + out.censored + out.mirrored
    reason = (
        f"rows left out: {out.early} before the challenger was frozen, {out.not_matured} not matured, "
        f"{out.ruled} decided by rules and lists, {out.censored} declined without exploration "
        f"or challenged or reviewed without a label, {out.mirrored} to censor both sides alike"
    )
    return check("rows_left_out", total, None, reason)
