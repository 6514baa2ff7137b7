"""Everything that moves together at promotion, and how it scores.

    features float32[n, F] ─pick columns─┐
    categoricals ─vocabularies─ codes ───┴▶ matrix float32[n, d]
      ─booster▶ margins float32[n] ─calibrator▶ scores float64[n] ─thresholds▶ outcomes
                                   └risk scale▶ risk scores 0–999

A bundle is frozen; its files are its identity: `digest` is SHA-256 over the
sorted (file name, SHA-256 of the file), and the same content has the same bytes.

Categorical columns are native XGBoost categories (`feature_types` "c") over the
codes of the vocabulary: a split is a set of words, not a range of codes. Tried
against plain codes as numbers: a code the booster has never seen and NaN both
take the learned default direction, a booster continues on data with appended
codes, and the same drifted data is told apart far better (average precision
.79 against .70 with 60 words). Codes come from numpy, never from a data frame:
only there XGBoost recodes by itself. Unseen words are NaN all the same, so that
"not seen in training" is one thing and not many.

Scoring and reasons each own a booster: predicting is thread-safe in XGBoost,
but one may prepare the next lazily, and two handles need no such trust.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fraud.arrays import read_arrays
from fraud.bundle.booster_bytes import check_booster
from fraud.bundle.boosting import feature_types, load_booster, margins_of, xgb
from fraud.bundle.bounds import (
    BOOSTER_BYTES_MAX,
    DESCRIPTION_BYTES_MAX,
    SELFTEST_BYTES_MAX,
    check_names,
    check_selftest,
    read_description,
)
from fraud.bundle.calibrator import Calibrator
from fraud.bundle.folds import FOLD_FILES, SERVED, fold_files, folds_of, margins_without
from fraud.bundle.manifest import Manifest, canonical_json, check_manifest
from fraud.bundle.references import References
from fraud.bundle.risk_scale import RiskScale
from fraud.errors import Damaged
from fraud.features.encoding import Vocabulary
from fraud.policy.thresholds import Thresholds, policy_version

BOOSTER_FILE = "booster.ubj"
DESCRIPTION_FILE = "bundle.json"
SELFTEST_FILE = "selftest.npz"
FILES = (BOOSTER_FILE, DESCRIPTION_FILE, SELFTEST_FILE)
"""What every bundle has; those with folds have `FOLD_FILES` beside them."""

BYTES_MAX = {
    BOOSTER_FILE: BOOSTER_BYTES_MAX,
    DESCRIPTION_FILE: DESCRIPTION_BYTES_MAX,
    SELFTEST_FILE: SELFTEST_BYTES_MAX,
    **dict.fromkeys(FOLD_FILES, BOOSTER_BYTES_MAX),
}
"""Of each file; a larger one is not read."""

FORMAT = 1
"""Of the files; a bundle never changes, so later releases read this one as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """Rows with the margins they had at training: float32[m, d] and float32[m]."""

    matrix: NDArray[np.float32]
    margins: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest value of a column in training; outside, trees do not extrapolate."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Bundle:
    """A servable version. `vocabularies[i]` belongs to `categorical_names[i]`."""

    model: str
    feature_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    vocabularies: tuple[Vocabulary, ...]
    booster: bytes = field(repr=False)
    calibrator: Calibrator = field(repr=False)
    thresholds: Thresholds
    policy_digest: str
    risk_scale: RiskScale = field(repr=False)
    references: References = field(repr=False)
    ranges: tuple[Range, ...] = field(repr=False)
    selftest: SelfTest = field(repr=False)
    manifest: Mapping[str, Any] = field(repr=False)
    folds: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_manifest(self.manifest)
        if not isinstance(self.manifest, Manifest):
            object.__setattr__(self, "manifest", Manifest(self.manifest))
        if len(self.vocabularies) != len(self.categorical_names):
            raise ValueError(
                f"{len(self.vocabularies)} vocabularies for {len(self.categorical_names)} columns"
            )
        # Loaded here and not at first use: what can fail should fail before the bundle serves.
        object.__setattr__(self, "_scorer", load_booster(self.booster))
        object.__setattr__(self, "_explainer", load_booster(self.booster))

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix: features, then categoricals."""
        return (*self.feature_names, *self.categorical_names)

    @cached_property
    def feature_definitions(self) -> Mapping[str, str]:
        """What its features meant when it was trained; of older bundles it is not known."""
        return dict(self.manifest.get("feature_definitions", {}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bundle, hex; its address in the store."""
        return digest_of_files(self.files())

    def policy_version(self, version: str) -> str:
        """Name the policy that this bundle has as `version`, e.g. `card-7/3fa2c1`."""
        return policy_version(version, self.policy_digest)

    def matrix(
        self,
        features: NDArray[np.float32],
        spec_index: NDArray[np.intp],
        categoricals: Sequence[tuple[str, ...]],
    ) -> NDArray[np.float32]:
        """Return the booster's input, float32[n, d].

        Args:
            features: rows of the service's features, float32[n, F].
            spec_index: place of each of `feature_names` among them.
            categoricals: a row of words each, in the order of `categorical_names`;
                "" where not given. Missing and unseen words become NaN.
        """
        width = len(self.feature_names)
        rows = np.empty((len(features), len(self.column_names)), np.float32)
        rows[:, :width] = features[:, spec_index]
        for i, vocabulary in enumerate(self.vocabularies):
            rows[:, width + i] = vocabulary.encode([row[i] for row in categoricals])
        return rows

    def margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the booster's log-odds, float32[n]. One thread; for the scoring thread."""
        scorer: xgb.Booster = self._scorer  # type: ignore[attr-defined]
        return margins_of(scorer, matrix)

    def scores(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return calibrated probabilities of fraud, float64[n] in (0, 1)."""
        return self.calibrator(margins)

    def scores_of(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the `scores` of the `margins` of rows, float64[n]."""
        return self.scores(self.margins(matrix))

    def margins_without(self, matrix: NDArray[np.float32], fold: NDArray[np.int8]) -> NDArray[np.float32]:
        """Return `margins` as if no row had taught, float32[n]: by the boosters of `fold`, int8[n].

        Rows of fold `SERVED` are the served booster's to judge.

        Raises:
            Damaged: a booster of a fold is none.
        """
        margins = margins_without(self._folds, fold, matrix)
        margins[fold == SERVED] = self.margins(matrix[fold == SERVED])
        return margins

    @cached_property
    def _folds(self) -> tuple[xgb.Booster, ...]:
        # Only who judges asks for them; a scorer, which reads bundles too, neither walks nor keeps them.
        words_max = max((len(vocabulary.words) for vocabulary in self.vocabularies), default=0)
        try:
            for booster in self.folds:
                check_booster(booster, len(self.column_names), words_max)
            return tuple(load_booster(booster) for booster in self.folds)
        except (ValueError, xgb.core.XGBoostError) as error:
            raise Damaged(
                f"bundle {self.digest[:12]}: a booster of a fold cannot be read ({error}); "
                "restore it from a copy or retrain"
            ) from error

    def without(self, fold: int) -> Self:
        """Return the version as if its booster without a fold served, to be judged; `SERVED`: as it is.

        Raises:
            ValueError: it has no such fold.
            Damaged: a booster of a fold is none.
        """
        if fold == SERVED:
            return self
        if not 0 <= fold < len(self._folds):
            raise ValueError(f"fold {fold}: bundle {self.digest[:12]} has {len(self._folds)}, from 0 on")
        return replace(self, booster=self.folds[fold], folds=())

    def served(self) -> Self:
        """Return the same version without the boosters of folds, as a scorer keeps it.

        It shares the served booster, and its digest is that of all the files: it can be told, not written.
        """
        kept = copy(self)
        kept.__dict__.update(digest=self.digest, folds=())
        kept.__dict__.pop("_folds", None)
        return kept

    def risk_scores(self, margins: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return risk scores, int32[n] in 0..999."""
        return self.risk_scale(margins)

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return exact TreeSHAP values in log-odds, float64[n, d + 1]; for the reasons thread.

        The last column is the base; a row sums to its margin (Lundberg et al.
        2020, "From local explanations to global understanding", algorithm 2).
        """
        explainer: xgb.Booster = self._explainer  # type: ignore[attr-defined]
        rows = xgb.DMatrix(matrix, missing=np.nan, nthread=1, feature_types=list(self.feature_types))
        values = explainer.predict(rows, pred_contribs=True, validate_features=False)
        return np.asarray(values, np.float64)

    @cached_property
    def feature_types(self) -> tuple[str, ...]:
        """XGBoost's type of each column."""
        return feature_types(len(self.feature_names), len(self.categorical_names))

    def limits(
        self, matrix: NDArray[np.float32], categoricals: Sequence[tuple[str, ...]]
    ) -> list[tuple[str, ...]]:
        """Return what each row's answer should not be trusted for.

        `OUT_OF_RANGE:amount` for the amount and numeric fields outside their
        range in training, `UNSEEN_CATEGORY:mcc` for words the vocabulary lacks.
        `matrix` and `categoricals` as `matrix()` takes and gives them.
        """
        found: list[tuple[str, ...]] = [()] * len(matrix)
        columns, low, high = self._bounds
        picked = matrix[:, columns]
        for row, place in np.argwhere((picked < low) | (picked > high)):
            found[row] = (*found[row], f"OUT_OF_RANGE:{self.ranges[place].name}")
        width = len(self.feature_names)
        for row, place in np.argwhere(np.isnan(matrix[:, width:])):
            if categoricals[row][place]:
                found[row] = (*found[row], f"UNSEEN_CATEGORY:{self.categorical_names[place]}")
        return found

    @cached_property
    def _bounds(self) -> tuple[list[int], NDArray[np.float32], NDArray[np.float32]]:
        columns = [self.feature_names.index(bound.name) for bound in self.ranges]
        low = np.array([bound.low for bound in self.ranges], np.float32)
        return columns, low, np.array([bound.high for bound in self.ranges], np.float32)

    def self_test(self) -> None:
        """Recompute the self-test rows and compare bit for bit; also warms the booster.

        What is made of the margins is tried on them as well, so that nothing of it fails at a payment.

        Raises:
            Damaged: this machine does not give the margins that training saw, or gives no answers.
        """
        margins = self.margins(self.selftest.matrix)
        wrong = int(np.count_nonzero(margins.view(np.uint32) != self.selftest.margins.view(np.uint32)))
        if wrong:
            raise Damaged(
                f"bundle {self.digest[:12]} of model {self.model}: {wrong} of {len(margins)} self-test rows "
                "differ from training; it stays out, check library versions and retrain"
            )
        try:
            self._try_out(margins)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise Damaged(
                f"bundle {self.digest[:12]} of model {self.model} gives no answers ({error}); it stays out, "
                "restore it from a copy or retrain"
            ) from error

    def _try_out(self, margins: NDArray[np.float32]) -> None:
        scores = self.scores(margins)
        if not np.all((scores >= 0) & (scores <= 1)):
            raise ValueError("a score is no probability")
        self.risk_scores(margins)
        self.thresholds.outcomes(scores)
        self.limits(self.selftest.matrix, [("",) * len(self.categorical_names)] * len(margins))

    def _check_tables(self) -> None:
        """Assert that what stands beside the trees is of the bundle's columns, and numbers.

        Raises:
            ValueError: it is not.
        """
        for bound in self.ranges:
            if bound.name not in self.feature_names or not _is_number(bound.low, bound.high):
                raise ValueError(f"ranges: {bound.name!r} is no feature, or has no bounds")
        if not _is_number(*(it for it in self.thresholds.to_dict().values() if it is not None)):
            raise ValueError("thresholds: one is no number")
        columns = tuple(it.name for it in self.references.columns)
        words = tuple(it.name for it in self.references.categoricals)
        if (columns, words) != (self.feature_names, self.categorical_names):
            raise ValueError("references: are of other columns")

    def files(self) -> dict[str, bytes]:
        """Return the bundle as files: name to bytes, the same content always the same bytes."""
        description: dict[str, Any] = {
            "format": FORMAT,
            "model": self.model,
            "feature_names": list(self.feature_names),
            "categorical_names": list(self.categorical_names),
            "vocabularies": [list(vocabulary.words) for vocabulary in self.vocabularies],
            "calibrator": self.calibrator.to_dict(),
            "thresholds": self.thresholds.to_dict(),
            "policy_digest": self.policy_digest,
            "risk_scale": self.risk_scale.to_list(),
            "references": self.references.to_dict(),
            "ranges": [[bound.name, bound.low, bound.high] for bound in self.ranges],
            "manifest": dict(self.manifest),
        }
        rows = io.BytesIO()
        np.savez(rows, matrix=self.selftest.matrix, margins=self.selftest.margins)
        boosters = {BOOSTER_FILE: self.booster, **fold_files(self.folds)}
        binary = {**boosters, SELFTEST_FILE: rows.getvalue()}
        description["sha256"] = {
            name: hashlib.sha256(content).hexdigest() for name, content in binary.items()
        }
        return {**binary, DESCRIPTION_FILE: canonical_json(description)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Build a bundle from its files.

        Raises:
            Damaged: a file is missing or not what `files()` writes.
            OtherFormat: another release wrote them in another format.
        """
        try:
            for name in (*FILES, *(name for name in FOLD_FILES if name in files)):
                if len(files[name]) > BYTES_MAX[name]:
                    raise ValueError(f"{name} has {len(files[name])} bytes, {BYTES_MAX[name]} are read")
            stored = read_description(files[DESCRIPTION_FILE], FORMAT)
            check_names(stored)
            folds = folds_of(files, stored["sha256"], stored["manifest"])
            for name in (BOOSTER_FILE, SELFTEST_FILE, *fold_files(folds)):
                if hashlib.sha256(files[name]).hexdigest() != stored["sha256"].get(name):
                    raise Damaged(
                        f"bundle: {name} is not what was written; restore it from a copy or retrain"
                    )
            rows = read_arrays(io.BytesIO(files[SELFTEST_FILE]))
            selftest = SelfTest(rows["matrix"], rows["margins"])
            columns = len(stored["feature_names"]) + len(stored["categorical_names"])
            check_selftest(selftest.matrix, selftest.margins, columns)
            # XGBoost's reader takes the whole process down on bytes that are no model.
            words_max = max(map(len, stored["vocabularies"]), default=0)
            check_booster(files[BOOSTER_FILE], columns, words_max)
            made = cls(
                model=stored["model"],
                feature_names=tuple(stored["feature_names"]),
                categorical_names=tuple(stored["categorical_names"]),
                vocabularies=tuple(Vocabulary(tuple(words)) for words in stored["vocabularies"]),
                booster=files[BOOSTER_FILE],
                calibrator=Calibrator.from_dict(stored["calibrator"]),
                thresholds=Thresholds.from_dict(stored["thresholds"]),
                policy_digest=stored["policy_digest"],
                risk_scale=RiskScale.from_list(stored["risk_scale"]),
                references=References.from_dict(stored["references"]),
                ranges=tuple(Range(*bound) for bound in stored["ranges"]),
                selftest=selftest,
                manifest=stored["manifest"],
                folds=folds,
            )
            made._check_tables()
            # What `digest` would find, without writing all of it anew.
            made.__dict__["digest"] = digest_of_files(files)
            return made
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, xgb.core.XGBoostError) as error:
            raise Damaged(f"bundle cannot be read: {error}; restore it from a copy or retrain") from error


def _is_number(*values: object) -> bool:
    return all(isinstance(it, int | float) and isfinite(it) for it in values)


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """Return SHA-256 in hex over the sorted (file name, SHA-256 of the file)."""
    listing = "".join(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()
