"""The bundles that serve, one per model; replaced by swapping one pointer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.features.spec import FeatureSpec
from fraud.policy.exploration import Explorer
from fraud.records import Scored, Transaction
from fraud.settings import Settings


@dataclass(frozen=True, slots=True)
class Champion:
    """A bundle in service, with what scoring needs decided once, at load."""

    version: str
    bundle: Bundle
    columns: NDArray[np.intp]
    categoricals: tuple[int, ...]
    explorer: Explorer
    policy_version: str
    trained_until_us: int
    since_us: int
    ledger_seq: int

    def words(self, rows: Sequence[Transaction | Scored]) -> list[tuple[str, ...]]:
        """Return the categoricals that the model uses, a tuple a row, "" where not given."""
        if not self.categoricals:
            return [()] * len(rows)
        return [tuple([row.categoricals[i] for i in self.categoricals]) for row in rows]

    def matrix(self, features: NDArray[np.float32], words: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
        """Return the model's input, float32[n, d], of service features float32[n, F] and `words`."""
        return self.bundle.matrix(features, self.columns, words)


def make_champion(
    version: str,
    bundle: Bundle,
    spec: FeatureSpec,
    settings: Settings,
    *,
    since_us: int,
    ledger_seq: int,
) -> Champion:
    """Prepare a loaded bundle for service.

    Raises:
        ConfigError: the service's features do not hold one the bundle needs, or one of another definition.
    """
    model = settings.models[bundle.model]
    names = settings.schema_.categorical_names
    return Champion(
        version=version,
        bundle=bundle,
        columns=spec.indices(bundle.feature_names, bundle.feature_definitions),
        categoricals=tuple(names.index(name) for name in bundle.categorical_names),
        explorer=Explorer(model.policy.exploration),
        policy_version=bundle.policy_version(version),
        trained_until_us=int(bundle.manifest["cut"]["time_us"]),
        since_us=since_us,
        ledger_seq=ledger_seq,
    )


class Champions:
    """Model name to champion. Read by every batch, replaced by a swap; never changed in place."""

    def __init__(self) -> None:
        self._by_model: Mapping[str, Champion] = {}

    def get(self, model: str) -> Champion | None:
        """Return the champion of a model, or None."""
        return self._by_model.get(model)

    def all(self) -> Mapping[str, Champion]:
        """Return the champions by model."""
        return self._by_model

    def swap(self, model: str, champion: Champion) -> None:
        """Put a champion in service: one pointer moves."""
        self._by_model = {**self._by_model, model: champion}

    def remove(self, model: str) -> None:
        """Let a model serve without a champion."""
        self._by_model = {name: it for name, it in self._by_model.items() if name != model}
