"""Follows the registry ledger: what it intends is loaded, tested, and put in service.

    ledger entry → bundle read, digest checked → self-test rows, bit for bit → warm
      → on the scoring thread: Applied into the event log, one pointer swapped

A version that fails stays out, the old one serves, and the log says why
(`Applied.refused`); it is not tried again until the ledger says something new.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from fraud.bundle.store import BundleStore
from fraud.errors import FraudError, NotFound
from fraud.features.spec import FeatureSpec
from fraud.monitoring.metrics import ScorerMetrics
from fraud.records import Applied
from fraud.registry.ledger import RegistryState
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.champions import Champion, Champions, make_champion
from fraud.serving.reasons import ReasonsDesk
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.follower")
_WARM_ROWS = 8


class ChampionLoader:
    """Reads and tests bundles by version."""

    def __init__(
        self, settings: Settings, spec: FeatureSpec, registry: Registry, bundles: BundleStore
    ) -> None:
        self._settings = settings
        self._spec = spec
        self._registry = registry
        self._bundles = bundles

    def load(self, version: str) -> Champion:
        """Return a version ready for service: digest and self-test checked, warmed.

        Raises:
            NotFound: the ledger does not know the version.
            Damaged: digest or self-test does not hold.
            ConfigError: the service's features do not hold one it needs.
        """
        known = self._registry.state.versions.get(version)
        if known is None:
            raise NotFound(f"version {version!r} is not in the registry; 'fraud versions' lists them")
        bundle = self._bundles.read(known.digest)
        bundle.self_test()
        bundle.margins(np.full((_WARM_ROWS, len(bundle.column_names)), np.nan, np.float32))
        reign = self._registry.state.reign(bundle.model)
        ours = reign is not None and reign.version == version
        return make_champion(
            version,
            bundle,
            self._spec,
            self._settings,
            since_us=reign.since_us if reign is not None and ours else 0,
            ledger_seq=reign.seq if reign is not None and ours else 0,
        )


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves one model, and the last ledger entry that was put into effect or refused."""

    version: str
    ledger_seq: int


class LedgerFollower:
    """Applies the ledger to one scorer; `poll` is called on the event loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        loader: ChampionLoader,
        scorer: Scorer,
        champions: Champions,
        desk: ReasonsDesk,
        metrics: ScorerMetrics,
    ) -> None:
        self._models = tuple(settings.models)
        self._registry = registry
        self._loader = loader
        self._scorer = scorer
        self._champions = champions
        self._desk = desk
        self._metrics = metrics
        self._serving: dict[str, Serving] = {}

    def start(self) -> None:
        """Load what served last, before the first request; blocking."""
        state = self._registry.refresh()
        for model, entry in self._scorer.log.last_applied().items():
            applied = entry.event
            assert isinstance(applied, Applied)
            self._serving[model] = Serving(applied.version, applied.ledger_seq)
            if model in self._models and applied.version:
                self._resume(model, applied.version)
        for model in self._models:
            change = self._next_change(state, model)
            if change is not None:
                self._apply(model, *change, run=lambda task: task())

    def _resume(self, model: str, version: str) -> None:
        try:
            champion = self._loader.load(version)
        except FraudError as error:
            _log.error("the champion cannot be loaded; serving without one", version=version, why=str(error))
            self._metrics.swapped(model, "refused")
            return
        self._put_in_service(model, champion)

    async def poll(self, batcher: Batcher) -> None:
        """Put what is new in the ledger into effect."""
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(None, self._registry.refresh)
        for model in self._models:
            change = self._next_change(state, model)
            if change is None:
                continue

            def on_scoring_thread(task: Callable[[], None]) -> None:
                asyncio.run_coroutine_threadsafe(batcher.run(task), loop).result()

            await loop.run_in_executor(None, self._apply, model, *change, on_scoring_thread)

    def _next_change(self, state: RegistryState, model: str) -> tuple[str, int] | None:
        reign = state.reign(model)
        if reign is None:
            return None
        serving = self._serving.get(model)
        if serving is not None and serving.ledger_seq >= reign.seq:
            return None
        return reign.version, reign.seq

    def _apply(self, model: str, version: str, seq: int, run: Callable[[Callable[[], None]], None]) -> None:
        try:
            champion = self._loader.load(version)
        except FraudError as error:
            kept = self._champions.get(model)
            _log.error("version refused; the old one serves on", version=version, why=str(error))
            self._metrics.swapped(model, "refused")
            refusal = Applied(
                seq,
                model,
                kept.version if kept else "",
                kept.policy_version if kept else "",
                refused=f"{version}: {error}",
            )
            run(lambda: self._refuse(model, refusal))
            return

        def swap() -> None:
            self._scorer.append(Applied(seq, model, version, champion.policy_version))
            self._put_in_service(model, champion)
            self._serving[model] = Serving(version, seq)

        run(swap)
        self._metrics.swapped(model, "applied")
        _log.info("champion swapped", model=model, version=version, ledger_seq=seq)

    def _refuse(self, model: str, refusal: Applied) -> None:
        self._scorer.append(refusal)
        self._serving[model] = Serving(refusal.version, refusal.ledger_seq)

    def _put_in_service(self, model: str, champion: Champion) -> None:
        self._champions.swap(model, champion)
        self._desk.keep(champion)
        self._metrics.champion(model, champion.version)
