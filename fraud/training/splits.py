"""Spans that walk forward in event time and end where labels have matured.

    ├── train (the recipe's window) ──┤ embargo ├ calibration ├ evidence ├── maturity ──┤ cut
                                                                                     not yet known

Fitting sees `train` alone; calibrator and thresholds see `calibration`; the
gate judges on `evidence`, which nothing else touches. The embargo keeps
label-fed features of judged rows from having been computed beside the labels
that trained (López de Prado 2018, "Advances in Financial Machine Learning",
section 7.4.2).

With `training.fresh` the judged rows are those of cards set apart (`fraud.training.unseen`),
and the other cards' verdicts teach up to the cut:

    ├── train (the recipe's window) ──┤ calibration ├ evidence ├── maturity ──┤ cut
                                      ├──────────── fresh ────────────────────┤

With folds all cards' verdicts teach up to the cut, and all judge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.settings import Settings


@dataclass(frozen=True, slots=True)
class Span:
    """Event times in `[start_us, end_us)`."""

    start_us: int
    end_us: int

    def holds(self, event_time_us: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each time whether it lies inside, bool[n]."""
        return (event_time_us >= self.start_us) & (event_time_us < self.end_us)


@dataclass(frozen=True, slots=True)
class Spans:
    """The three spans of one recipe, in order, none overlapping.

    `fresh`, where there is one, begins with `calibration` and ends at the cut; who is not
    held back teaches in it, and who `judges` calibrates.
    """

    train: Span
    calibration: Span
    evidence: Span
    fresh: Span | None = None

    def teaches(self, event_time_us: NDArray[np.int64], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the rows that may be fitted, bool[n], if they have a label."""
        taught = self.train.holds(event_time_us)
        return taught if self.fresh is None else taught | (self.fresh.holds(event_time_us) & ~held)

    def calibrates(self, event_time_us: NDArray[np.int64], judging: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the rows that calibrator and thresholds see, bool[n]."""
        seen = self.calibration.holds(event_time_us)
        return seen if self.fresh is None else seen & judging

    def to_dict(self) -> dict[str, list[int]]:
        """Return `{span: [start_us, end_us]}` for the manifest."""
        spans = {
            "train_us": self.train,
            "calibration_us": self.calibration,
            "evidence_us": self.evidence,
            "fresh_us": self.fresh,
        }
        return {name: [span.start_us, span.end_us] for name, span in spans.items() if span is not None}


def walk_forward(settings: Settings, cut_time_us: int, window_us: int) -> Spans:
    """Return the spans of a recipe with a training window, as of a cut.

    Times may lie before the first event: how much history there is shows in the
    rows, and a recipe with too few frauds is refused there.
    """
    training = settings.training
    evidence_end_us = cut_time_us - settings.labels.maturity
    evidence_start_us = evidence_end_us - training.evidence
    calibration_start_us = evidence_start_us - training.calibration
    fresh = None if training.fresh is None else Span(calibration_start_us, cut_time_us)
    train_end_us = calibration_start_us - (settings.embargo_us if fresh is None else 0)
    return Spans(
        Span(train_end_us - window_us, train_end_us),
        Span(calibration_start_us, evidence_start_us),
        Span(evidence_start_us, evidence_end_us),
        fresh,
    )
