"""Small real bundles for tests: a booster of a few trees over made rows, seeded."""

from dataclasses import replace
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from fraud.bundle.boosting import feature_types, load_booster
from fraud.bundle.bundle import Bundle, Range, SelfTest
from fraud.bundle.calibrator import Calibrator
from fraud.bundle.manifest import library_versions
from fraud.bundle.references import References
from fraud.bundle.risk_scale import RiskScale
from fraud.features.encoding import Vocabulary
from fraud.policy.thresholds import policy_digest, solve
from fraud.settings.model import Policy, Target

FEATURES = ("amount", "card_count_1h", "card_since_previous_s")
CHANNELS = Vocabulary(("web", "pos", "moto"))
POLICY = Policy(review=Target(share=0.05), decline=Target(share=0.01))


def made_rows(seed: int, count: int = 3_000) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rows of FEATURES and a channel code, with NaNs, and whether each is a fraud."""
    rng = np.random.default_rng(seed)
    rows = np.empty((count, 4), np.float32)
    rows[:, 0] = rng.lognormal(3, 1, count).clip(1, 500)
    rows[:, 1] = rng.poisson(1, count)
    rows[:, 2] = rng.exponential(3_600, count)
    rows[:, 3] = rng.integers(0, 3, count)
    rows[rng.random(count) < 0.1, 2] = np.nan
    rows[rng.random(count) < 0.1, 3] = np.nan
    odds = -5 + 0.01 * rows[:, 0] + rows[:, 1] + 1.5 * (rows[:, 3] == 2)
    return rows, rng.random(count) < 1 / (1 + np.exp(-odds))


def made_manifest(model: str = "card", seed: int = 7) -> dict[str, Any]:
    """A manifest with every key."""
    return {
        "model": model,
        "recipe": "full",
        "parameters": {},
        "seed": seed,
        "libraries": library_versions(),
        "cut": {"position": 3_000, "time_us": 1_700_000_000_000_000},
        "spans": {},
        "positions": {},
        "rows": {},
        "label_batches": [],
        "label_fed_features": [],
        "exclusions": [],
        "spec_fingerprint": "",
        "parent": "",
    }


def made_folds(bundle: Bundle, folds: int = 2) -> Bundle:
    """The bundle with boosters that judge it: each of other rows, as if fitted without a fold of cards."""
    manifest = {**bundle.manifest, "apart": {"entity": "card", "share": 1.0, "folds": folds}}
    first = bundle.manifest["seed"] + 1
    others = tuple(made_bundle(seed=seed).booster for seed in range(first, first + folds))
    return replace(bundle, manifest=manifest, folds=others)


def made_bundle(model: str = "card", seed: int = 7, policy: Policy = POLICY) -> Bundle:
    """A bundle fitted on `made_rows(seed)`."""
    rows, is_fraud = made_rows(seed)
    types = list(feature_types(len(FEATURES), 1))
    train = xgb.QuantileDMatrix(rows, label=is_fraud, feature_types=types, nthread=1)
    parameters = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "max_depth": 3,
        "seed": seed,
        "nthread": 1,
    }
    raw = bytes(xgb.train(parameters, train, 20).save_raw("ubj"))
    margins = load_booster(raw).inplace_predict(rows, predict_type="margin", validate_features=False)
    calibrator = Calibrator.fit(margins, is_fraud, np.ones(len(rows)))
    scores = calibrator(margins)
    thresholds = solve(policy, scores, is_fraud, np.ones(len(rows)), days=7).thresholds
    return Bundle(
        model=model,
        feature_names=FEATURES,
        categorical_names=("channel",),
        vocabularies=(CHANNELS,),
        booster=raw,
        calibrator=calibrator,
        thresholds=thresholds,
        policy_digest=policy_digest(policy, thresholds),
        risk_scale=RiskScale.fit(margins),
        references=References.of(FEATURES, {"channel": CHANNELS.words}, rows, scores),
        ranges=(Range("amount", float(rows[:, 0].min()), float(rows[:, 0].max())),),
        selftest=SelfTest(rows[:64], margins[:64]),
        manifest=made_manifest(model, seed),
    )
