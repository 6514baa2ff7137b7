"""A service to benchmark: 48 features, a champion of 200 trees of depth 6 in its ledger.

    synthetic payments → the feature kernel → xgboost → bundle → ledger: registered, promoted

Three entities × four windows × (count, sum, amount ÷ mean), time since previous and
age of each, calendar, amount, and two fraud rates of the merchant: 48 columns.
The payments have no meaning; what matters is that every part has real work to do.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from benchmarks.load import ID_MARK, TIME_MARK_US
from fraud.bundle.boosting import load_booster
from fraud.bundle.bundle import Bundle, SelfTest
from fraud.bundle.calibrator import Calibrator
from fraud.bundle.manifest import library_versions
from fraud.bundle.references import References
from fraud.bundle.risk_scale import RiskScale
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US, SECOND_US
from fraud.features.spec import FeatureSpec
from fraud.features.state import FeatureState, Rows
from fraud.policy.thresholds import policy_digest, solve
from fraud.registry.store import LedgerStore, promote
from fraud.settings import Settings, load_settings
from fraud.v1 import scoring_pb2 as pb

MODEL, VERSION = "card", "card-1"
ENTITIES = ("card", "merchant", "device")
FEATURES = 48
TREES, DEPTH = 200, 6
_SPAN_US = 40 * DAY_US

_CONFIG = """\
[service]
data_dir = "data"
[schema.entities.card]
[schema.entities.merchant]
[schema.entities.device]
[features]
calendar = ["hour", "weekend", "night"]
entities_max = {entities_max}
[features.entities.card]
windows = ["1h", "24h", "7d", "30d"]
aggregates = ["count", "sum", "amount_over_mean"]
since = ["previous", "first"]
[features.entities.merchant]
windows = ["1h", "24h", "7d", "30d"]
aggregates = ["count", "sum", "amount_over_mean"]
since = ["previous", "first"]
fraud_rates = [{{ width = "7d", delay = "7d" }}, {{ width = "30d", delay = "7d" }}]
[features.entities.device]
windows = ["1h", "24h", "7d", "30d"]
aggregates = ["count", "sum", "amount_over_mean"]
since = ["previous", "first"]
[models.card.policy]
review = {{ share = 0.01 }}
[log]
durability = "fsync"
[server]
port = {port}
[monitoring]
scorer_port = -1
log_level = "warning"
"""


@dataclass(frozen=True)
class Service:
    """A configured data folder with a promoted champion, ready for `fraud serve`."""

    config: Path
    settings: Settings
    booster: bytes
    matrix: NDArray[np.float32]

    def command(self, python: str) -> list[str]:
        """Return the command that serves it."""
        return [python, "-m", "fraud.cli", "--config", str(self.config), "serve"]


def configure(
    folder: Path, port: int, entities_max: int = 1_000_000, more: str = ""
) -> tuple[Path, Settings]:
    """Write `fraud.toml` into a folder, `more` at its end; return its path and what it says."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "fraud.toml"
    config.write_text(_CONFIG.format(port=port, entities_max=entities_max) + more)
    return config, load_settings(config, {})


def make_service(folder: Path, port: int, rows: int = 40_000, seed: int = 7) -> Service:
    """Make a service in an empty folder: configuration, bundle, ledger with its champion."""
    config, settings = configure(folder, port)
    spec = FeatureSpec.of(settings)
    if len(spec.names) != FEATURES:
        raise AssertionError(f"{len(spec.names)} features, not {FEATURES}")
    payments = made_rows(rows, seed)
    features = FeatureState(spec).score(payments).features
    bundle = make_bundle(settings, spec, features, seed)
    digest = BundleStore(settings.places.bundles).write(bundle)
    promote_first(settings, bundle, digest)
    return Service(config, settings, bundle.booster, features)


def made_rows(count: int, seed: int, entities: int = 20_000) -> Rows:
    """Make payments of the last 40 days, in order of time; surrogates dense and skewed."""
    rng = np.random.default_rng(seed)
    end_us = time.time_ns() // 1_000
    times = np.sort(rng.integers(end_us - _SPAN_US, end_us, count))
    skewed = (rng.power(0.5, (count, len(ENTITIES))) * entities).astype(np.int32)
    surrogates = np.column_stack([_dense(column) for column in skewed.T]).astype(np.int32)
    amounts = rng.lognormal(7.5, 1.2, count).clip(1, 5e6).astype(np.int64)
    return Rows(times.astype(np.int64), amounts, surrogates, np.empty((count, 0), np.float64))


def _dense(column: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number values by first appearance, as a log's dictionary does."""
    _, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], np.int64)


def make_bundle(settings: Settings, spec: FeatureSpec, features: NDArray[np.float32], seed: int) -> Bundle:
    """Fit a booster of full size on features with made-up frauds; wrap it for service."""
    rng = np.random.default_rng(seed)
    filled = np.nan_to_num(features, nan=0.0)
    ranks = filled.argsort(0).argsort(0) / len(filled)
    odds = -2 + 3 * (ranks - 0.5) @ rng.normal(0, 1, features.shape[1])
    is_fraud = rng.random(len(features)) < 1 / (1 + np.exp(-odds))
    train = xgb.QuantileDMatrix(features, label=is_fraud)
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "max_depth": DEPTH,
        "seed": seed,
    }
    raw = bytes(xgb.train(parameters, train, TREES).save_raw("ubj"))
    margins = load_booster(raw).inplace_predict(features, predict_type="margin", validate_features=False)
    weights = np.ones(len(features))
    calibrator = Calibrator.fit(margins, is_fraud, weights)
    scores = calibrator(margins)
    policy = settings.models[MODEL].policy
    thresholds = solve(policy, scores, is_fraud, weights, days=_SPAN_US / DAY_US).thresholds
    return Bundle(
        model=MODEL,
        feature_names=spec.names,
        categorical_names=(),
        vocabularies=(),
        booster=raw,
        calibrator=calibrator,
        thresholds=thresholds,
        policy_digest=policy_digest(policy, thresholds),
        risk_scale=RiskScale.fit(margins),
        references=References.of(spec.names, {}, features, scores),
        ranges=(),
        selftest=SelfTest(features[:64], margins[:64]),
        manifest=_manifest(spec, seed),
    )


def _manifest(spec: FeatureSpec, seed: int) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "spans": {},
        "positions": {},
        "rows": {},
        "label_batches": [],
        "label_fed_features": [],
        "exclusions": [],
    }
    return {
        **nothing,
        "model": MODEL,
        "recipe": "full",
        "parameters": {"rounds": TREES, "max_depth": DEPTH},
        "seed": seed,
        "libraries": library_versions(),
        "cut": {"position": 0, "time_us": 0},
        "spec_fingerprint": spec.fingerprint,
        "parent": "",
    }


def promote_first(settings: Settings, bundle: Bundle, digest: str) -> None:
    """Enter the bundle into an empty ledger and promote it."""
    store = LedgerStore.open(settings.places.ledger)
    _register(store, VERSION, bundle, digest)
    promote(store, MODEL, VERSION, "", **_who())
    store.close()


def add_challengers(service: Service, count: int) -> None:
    """Register challengers beside the champion, of its size and other seeds: more to put in shadow."""
    settings = service.settings
    spec, bundles = FeatureSpec.of(settings), BundleStore(settings.places.bundles)
    store = LedgerStore.open(settings.places.ledger)
    for seed in range(count):
        bundle = make_bundle(settings, spec, service.matrix, 100 + seed)
        _register(store, store.state().next_version(MODEL), bundle, bundles.write(bundle))
    store.close()


def _who() -> dict[str, Any]:
    return {"actor": "benchmark", "reason": "set up", "time_us": time.time_ns() // 1_000}


def _register(store: LedgerStore, version: str, bundle: Bundle, digest: str) -> None:
    body = {
        "version": version,
        "model": MODEL,
        "recipe": "full",
        "digest": digest,
        "parent": "",
        "attempt": 1,
        "challengers": 1,
        "cut_position": 0,
        "cut_time_us": 0,
        "manifest": dict(bundle.manifest) | {"positions": {"traffic": [0, 0]}},
    }
    store.append("VersionRegistered", body, **_who())


def score_templates(count: int, seed: int = 3, entities: int = 20_000) -> list[bytes]:
    """Return serialised `ScoreRequest`s of different payments, marked for the load generator."""
    rng = np.random.default_rng(seed)
    skewed = (rng.power(0.5, (count, len(ENTITIES))) * entities).astype(int)
    amounts = rng.lognormal(7.5, 1.2, count).clip(1, 5e6).astype(int)
    bodies = []
    for entities_of, amount in zip(skewed.tolist(), amounts.tolist(), strict=True):
        request = pb.ScoreRequest()
        fill(request.transaction, ID_MARK, TIME_MARK_US, entities_of, amount)
        bodies.append(request.SerializeToString())
    return bodies


def score_batches(
    batches: int, rows: int, seed: int = 5, entities: int = 20_000
) -> list[pb.ScoreBatchRequest]:
    """Return batches of different payments with ids of their own, of the last minute."""
    rng = np.random.default_rng(seed)
    prefix = os.urandom(4).hex()
    start_us = time.time_ns() // 1_000 - 60 * SECOND_US
    made = []
    for batch in range(batches):
        request = pb.ScoreBatchRequest()
        numbers = (rng.power(0.5, (rows, len(ENTITIES))) * entities).astype(int).tolist()
        for row, entities_of in enumerate(numbers):
            at = batch * rows + row
            name = f"{prefix}-{at}"
            fill(request.transactions.add(), name, start_us + at, entities_of, 100 + at % 90_000)
        made.append(request)
    return made


def fill(transaction: Any, name: str, time_us: int, entities: list[int], amount_minor: int) -> None:
    """Fill a wire transaction; `entities` are numbers that tokens are made of."""
    transaction.transaction_id = name
    transaction.event_time_us = time_us
    transaction.model = MODEL
    transaction.amount_minor = amount_minor
    transaction.currency = "EUR"
    for entity, number in zip(ENTITIES, entities, strict=True):
        transaction.entities[entity] = f"tok_{entity[0]}{number:08d}"
