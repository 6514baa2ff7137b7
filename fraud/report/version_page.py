"""The page of one version: `fraud report VERSION`.

    ledger   verdict, checks, who decided what          (the figures that count)
    archive  the verdict's evidence, read and scored again → curves; recent traffic → drift and reasons
    bundle   manifest → data and labels; thresholds, and the curve they were chosen on

Where the figures from the archive are not those of the ledger, the page says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraud.clock import format_time
from fraud.gate.checks import Check
from fraud.policy.trade import TradeCurve
from fraud.registry.version import Verdict
from fraud.report import plots
from fraud.report.curves import Money, calibration_bins, money, precision_recall
from fraud.report.evidence import Evident, evidence_now, verdict_evidence
from fraud.report.folder import Folder
from fraud.report.page import render
from fraud.report.provenance import (
    ancestors,
    data_facts,
    descendants,
    label_givers,
    spelled_values,
    taints,
    timeline,
)
from fraud.report.traffic import Traffic, put_to_traffic
from fraud.retrainer.casework import Rival

_SAME: Final = 1e-12
_FIGURES: Final = (("average_precision", "average precision"), ("recall", "recall within the alert budget"))


@dataclass(frozen=True)
class Quality:
    """One figure of one side: the ledger's, with its interval, and as the archive gives it."""

    name: str
    words: str
    side: str
    version: str
    check: Check
    recomputed: float | None

    @property
    def agrees(self) -> bool:
        """Both are the same, or nothing was recomputed."""
        if self.recomputed is None:
            return True
        if self.check.value is None:
            return math.isnan(self.recomputed)
        return abs(self.check.value - self.recomputed) <= _SAME


@dataclass(frozen=True)
class VersionReport:
    """Everything the page shows; plots are drawn from it."""

    judged: Rival
    against: str
    verdict: Verdict | None
    checks: tuple[Check, ...]
    quality: tuple[Quality, ...]
    evidence: Evident | None
    traffic: Traffic | None
    problems: tuple[str, ...]

    @property
    def version(self) -> str:
        """The version's name."""
        return self.judged.state.version


def read_version(folder: Folder, version: str) -> VersionReport:
    """Read what is known of a version.

    Raises:
        NotFound: it was never registered, or its bundle is gone.
        ConfigError: it reads features that are gone or mean something else now.
    """
    judged = folder.rival(version)
    verdict = judged.state.verdicts[-1] if judged.state.verdicts else None
    against = verdict.against if verdict is not None else _champion_beside(folder, judged)
    champion, missing = folder.rival_left(against)
    problems = []
    if missing:
        problems.append(
            f"{missing}; what compares with it is left out, and the figures of the ledger cannot be read "
            "again"
        )
    with folder.archive.reading():
        evidence = (
            verdict_evidence(folder, judged, champion, verdict)
            if verdict is not None
            else evidence_now(folder, judged, champion)
        )
        recent = folder.recent(judged.state.model)
    checks = () if verdict is None else tuple(Check(**row) for row in verdict.report["checks"])
    quality = _quality(checks, judged, against, evidence)
    problems += [
        f"{each.words} of {each.version} is {each.check.value} in the ledger and {each.recomputed} when "
        "read again from the archive: settings or data have changed since the verdict"
        for each in quality
        if not each.agrees
    ]
    sides = [judged] if champion is None else [judged, champion]
    return VersionReport(
        judged,
        against,
        verdict,
        checks,
        quality,
        evidence if len(evidence.sample.is_fraud) else None,
        put_to_traffic(recent, sides),
        tuple(problems),
    )


def _champion_beside(folder: Folder, judged: Rival) -> str:
    champion = folder.state.champion(judged.state.model)
    return "" if champion == judged.state.version else champion


def _quality(checks: Sequence[Check], judged: Rival, against: str, evidence: Evident) -> tuple[Quality, ...]:
    """Pair each figure of the verdict with the one that the archive gives."""
    rows = {check.name: check for check in checks}
    names = {"challenger": judged.state.version, "champion": against, "difference": ""}
    found = []
    for name, words in _FIGURES:
        figures: dict[str, float] = {side: getattr(evidence, name)(side) for side in evidence.scores}
        for side, version in names.items():
            check = rows.get(f"{name}_{side}")
            if check is None:
                continue
            again = figures.get(version)
            mine, theirs = figures.get(judged.state.version), figures.get(against)
            if side == "difference" and mine is not None and theirs is not None:
                again = mine - theirs
            found.append(Quality(name, words, side, version, check, again))
    return tuple(found)


def render_version(folder: Folder, report: VersionReport) -> str:
    """Return the page; the same data folder gives the same page."""
    state, judged = folder.state, report.judged
    manifest = judged.state.manifest
    return render(
        "fraud.report/version.html",
        report=report,
        state=judged.state,
        created=format_time(judged.state.created_us),
        judged_at=format_time(report.verdict.time_us) if report.verdict else "",
        tested=[check for check in report.checks if not check.name.startswith("slice_")],
        slices=[check for check in report.checks if check.name.startswith("slice_")],
        data=data_facts(manifest),
        givers=label_givers(manifest["label_batches"]),
        batches=manifest["label_batches"],
        **evidence_plots(report.evidence),
        **traffic_plots(report.traffic),
        **_policy(folder, judged),
        ancestors=ancestors(state, judged.state),
        descendants=descendants(state, report.version),
        taints=taints(state, report.version),
        timeline=timeline(folder.entries, report.version),
        champion=state.champion(judged.state.model),
    )


def evidence_plots(evidence: Evident | None) -> dict[str, Any]:
    """Draw the curves of the evidence; none without rows."""
    if evidence is None:
        return {"curves": None, "calibration": None, "money": None, "budget": None}
    sample, sides = evidence.sample, evidence.scores
    curves = {
        name: precision_recall(sample.is_fraud, scores, sample.weights) for name, scores in sides.items()
    }
    bins = {name: calibration_bins(sample.is_fraud, scores) for name, scores in sides.items()}
    caught = {
        name: money(sample.is_fraud, scores, sample.days, evidence.amounts, evidence.alert_share)
        for name, scores in sides.items()
    }
    budget = _budget(evidence, caught)
    return {
        "curves": plots.precision_recall_plot(curves),
        "calibration": plots.calibration_plot(bins),
        "money": plots.money_plot(caught, budget["alerts_per_day"]),
        "budget": budget,
    }


def _budget(evidence: Evident, caught: Mapping[str, Money]) -> dict[str, Any]:
    """Say what the gate's budget catches."""
    per_day = len(evidence.sample.is_fraud) * evidence.alert_share / max(evidence.days, 1)
    alerts_per_day = max(per_day, 1.0)
    return {
        "alerts_per_day": alerts_per_day,
        "share": evidence.alert_share,
        "sides": [(name, *curve.at(alerts_per_day)) for name, curve in caught.items()],
    }


def traffic_plots(traffic: Traffic | None) -> dict[str, Any]:
    """Draw how recent rows are scored, and what moves the score; none without rows."""
    if traffic is None:
        return {"score_plot": None, "reasons_plot": None}
    names = [name for name, _ in traffic.reasons]
    return {
        "score_plot": plots.score_plot(
            {side.version: side.scores for side in traffic.sides},
            {side.version: side.risks for side in traffic.sides},
        ),
        "reasons_plot": plots.reasons_plot(names, [size for _, size in traffic.reasons]),
    }


def _policy(folder: Folder, judged: Rival) -> dict[str, Any]:
    """Say which thresholds a version has, what they were solved for, and the curve behind them."""
    bundle = judged.bundle
    model = folder.settings.models.get(bundle.model)
    curve = TradeCurve.from_dict(bundle.manifest.get("policy_curve", {}))
    solved = bundle.thresholds.to_dict()
    thresholds = []
    for name, value in solved.items():
        target = None if model is None else getattr(model.policy, name, None)
        spelled = "" if target is None else spelled_values(target.model_dump(exclude_none=True))
        point = None if value is None else curve.at(value)
        thresholds.append((name, value, spelled, point))
    return {
        "policy_version": bundle.policy_version(judged.state.version),
        "thresholds": thresholds,
        "threshold_notes": bundle.manifest.get("thresholds_notes", []),
        "trade_plot": plots.trade_plot(curve, solved) if curve.points else None,
        "trade_basis": ", ".join(f"{name} {value:g}" for name, value in curve.basis.items()),
    }
