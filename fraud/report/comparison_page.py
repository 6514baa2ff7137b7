"""The page of two versions side by side: `fraud report --compare A B`.

archive as it is now → what is evidence for both alike → figures of each, paired bootstrap by card
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fraud.errors import InvalidInput
from fraud.evaluation.resampling import Figures
from fraud.report.evidence import Evident, evidence_now
from fraud.report.folder import Folder
from fraud.report.page import render
from fraud.report.provenance import data_facts, label_givers
from fraud.report.traffic import Traffic, put_to_traffic
from fraud.report.version_page import evidence_plots, traffic_plots
from fraud.retrainer.casework import Rival


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same rows; figures with intervals by card, None without evidence."""

    first: Rival
    second: Rival
    evidence: Evident | None
    figures: Mapping[str, Figures]
    difference: Figures | None
    traffic: Traffic | None

    @property
    def versions(self) -> tuple[str, str]:
        """The names of both."""
        return self.first.state.version, self.second.state.version


def read_comparison(folder: Folder, first: str, second: str) -> Comparison:
    """Put two versions to the same evidence and the same recent rows.

    Raises:
        InvalidInput: they are of different models, or the same version twice.
        NotFound: one was never registered, or its bundle is gone.
        ConfigError: one reads features that are gone or mean something else now.
    """
    sides = folder.rival(first), folder.rival(second)
    models = sides[0].state.model, sides[1].state.model
    if models[0] != models[1] or first == second:
        problem = f"{first} is of model {models[0]!r}, {second} of {models[1]!r}"
        raise InvalidInput("--compare", problem, "name two versions of one model")
    gate, training = folder.settings.gate, folder.settings.training
    with folder.archive.reading():
        evidence = evidence_now(folder, *sides)
        recent = folder.recent(models[0])
    rows = len(evidence.sample.is_fraud)
    figures, difference = evidence.bootstrapped(gate.bootstrap_rounds, training.seed) if rows else ({}, None)
    return Comparison(*sides, evidence if rows else None, figures, difference, put_to_traffic(recent, sides))


def render_comparison(folder: Folder, comparison: Comparison) -> str:
    """Return the page; the same data folder gives the same page."""
    sides = (comparison.first, comparison.second)
    manifests = [side.state.manifest for side in sides]
    facts = [dict(data_facts(manifest)) for manifest in manifests]
    names = list(dict.fromkeys(name for each in facts for name in each))
    return render(
        "fraud.report/comparison.html",
        comparison=comparison,
        figures=_figures(comparison),
        statuses=[(side.state.version, side.state.status, side.state.verdict) for side in sides],
        data=[(name, *(each.get(name, "") for each in facts)) for name in names],
        givers=[
            (side.state.version, label_givers(manifest["label_batches"]))
            for side, manifest in zip(sides, manifests, strict=True)
        ],
        thresholds=[(side.state.version, side.bundle.thresholds.to_dict()) for side in sides],
        champion=folder.state.champion(comparison.first.state.model),
        **evidence_plots(comparison.evidence),
        **traffic_plots(comparison.traffic),
    )


def _figures(comparison: Comparison) -> list[dict[str, Any]]:
    columns = [*comparison.figures.items()]
    if comparison.difference is not None:
        columns.append(("difference", comparison.difference))
    return [
        {"name": name, "words": words, "of": of, "interval": getattr(figures, name)}
        for name, words in (
            ("average_precision", "average precision"),
            ("recall", "recall within the alert budget"),
        )
        for of, figures in columns
    ]
