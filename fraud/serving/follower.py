"""Follows the registry ledger: what it intends is loaded, tested, and put in service.

    exclusions → tainted champions rolled back, the view of the data taken (`reconciler`); not at start
    ledger entry → bundle read, digest checked → self-test rows, bit for bit → warm
      → on the scoring thread: Applied into the event log, one pointer swapped

A version that fails stays out, the old one serves, and the log says why
(`Applied.refused`); it is not tried again until the ledger says something new. Where there is no old
one, at a start or for a first version, it is tried again every few seconds, and an alert pages meanwhile.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog

from fraud.bundle.store import BundleStore
from fraud.errors import Damaged, FraudError, NotFound
from fraud.faults import pass_point
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import ALL
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.policy.rules import ruled_version
from fraud.records import Applied
from fraud.registry.ledger import RegistryState
from fraud.registry.rules import rules_of
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.champions import Champion, Champions, make_champion
from fraud.serving.reasons import ReasonsDesk
from fraud.serving.reconciler import Reconciler, Run
from fraud.serving.ruling import Ruling
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.follower")
_WARM_ROWS = 8
MISSING_RETRY_S = 10.0
"""So long after a champion could not be loaded it is tried again."""


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
        bundle = self._bundles.read(known.digest).served()
        bundle.self_test()
        bundle.margins(np.full((_WARM_ROWS, len(bundle.column_names)), np.nan, np.float32))
        reign = self._registry.state.reign(bundle.model)
        ours = reign is not None and reign.version == version
        try:
            return make_champion(
                version,
                bundle,
                self._spec,
                self._settings,
                since_us=reign.since_us if reign is not None and ours else 0,
                ledger_seq=reign.seq if reign is not None and ours else 0,
            )
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise Damaged(
                f"bundle {known.digest[:12]} of {version} cannot serve ({error!r}); restore it from a copy "
                "or retrain"
            ) from error


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves one model, and the last ledger entry that was put into effect or refused."""

    version: str
    ledger_seq: int
    policy_version: str = ""


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
        reconciler: Reconciler,
        metrics: ScorerMetrics,
        settle_shadows: Callable[[RegistryState], None],
        ruling: Ruling,
    ) -> None:
        self._models = tuple(settings.models)
        self._reconciler = reconciler
        self._settle_shadows = settle_shadows
        self._ruling = ruling
        self._one_at_a_time = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self._registry = registry
        self._loader = loader
        self._scorer = scorer
        self._champions = champions
        self._desk = desk
        self._metrics = metrics
        self._serving: dict[str, Serving] = {}
        self._again_at_s = -math.inf
        self._observed_seq = -1

    def start(self) -> None:
        """Put in service what the ledger intends, or else what served last; blocking.

        To be called before the batcher starts. What exclusions demand is left to the
        first `poll`, and so is what cannot be put into effect here: a start that
        fails would be tried again for ever.

        Raises:
            Damaged: the ledger cannot be read.
        """
        for model, entry in self._scorer.log.last_applied().items():
            applied = entry.event
            assert isinstance(applied, Applied)
            self._serving[model] = Serving(applied.version, applied.ledger_seq, applied.policy_version)
            if model in self._models and applied.version:
                self._resume(model, applied.version)
        state = self._registry.refresh()
        parts = [partial(self._follow_model, state, model, run=_at_once) for model in self._models]
        for part in (*parts, partial(self._settle_shadows, state)):
            try:
                part()
            except Exception:  # noqa: BLE001 — what served last serves on
                _log.exception("not put into effect at the start; will try again")
        for model in self._models:
            self._note_missing(state, model)
        self._switch_exploration(state)
        self._mark_tainted(state)

    def _resume(self, model: str, version: str) -> None:
        try:
            champion = self._loader.load(version)
        except FraudError as error:
            _log.error("the champion cannot be loaded; serving without one", version=version, why=error)
            self._metrics.swapped(model, "refused")
            return
        self._put_in_service(model, champion)

    def _look_for_missing(self, state: RegistryState, run: Run) -> None:
        """Load the champions that should decide where none does, and say which cannot be."""
        due = time.monotonic() >= self._again_at_s
        for model in self._models:
            reign = state.reign(model)
            wanted = reign.version if reign is not None else ""
            if due and reign is not None and wanted and self._champions.get(model) is None:
                self._again_at_s = time.monotonic() + MISSING_RETRY_S
                try:
                    run(partial(self._take_up, model, self._loader.load(wanted), reign.seq))
                except Exception as error:  # noqa: BLE001 — the rest of the look must not wait for it
                    _log.error("the champion cannot be loaded yet", version=wanted, why=error)
            self._note_missing(state, model)

    def _note_missing(self, state: RegistryState, model: str) -> None:
        missing = bool(state.champion(model)) and self._champions.get(model) is None
        self._metrics.champion_missing(model, missing=missing)

    def _take_up(self, model: str, champion: Champion, seq: int) -> None:
        """Let a champion decide that could not be loaded before; on the scoring thread."""
        noted, reign = self._serving.get(model, Serving("", 0)), self._registry.state.reign(model)
        if self._champions.get(model) is not None or reign is None or reign.seq != seq:
            return
        if noted.version != champion.version:
            policy_version = self._scorer.overruling.policy_version(model, champion.policy_version)
            noted_seq = max(seq, noted.ledger_seq)  # rules that came later are in force already
            self._scorer.append(
                Applied(noted_seq, model, champion.version, policy_version, self._view_text())
            )
            self._serving[model] = Serving(champion.version, noted_seq, policy_version)
        self._put_in_service(model, champion)
        _log.warning("the champion can be loaded again", model=model, version=champion.version)

    async def poll(self, batcher: Batcher) -> None:
        """Put what is new in the ledger into effect; on return it is, or the log says why not.

        A look is a task of its own: whoever gives up waiting (gRPC cancels a call at its
        deadline) ends neither it nor its hold on the lock, for its thread goes on as well.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look(batcher))
            self._looks.add(self._next_look)
            self._next_look.add_done_callback(self._looks.discard)
        await asyncio.shield(self._next_look)

    async def close(self) -> None:
        """Wait for looks that nobody waits for any more; before the scoring thread stops."""
        while self._looks:
            await asyncio.wait(self._looks)

    async def _look(self, batcher: Batcher) -> None:
        loop = asyncio.get_running_loop()

        def on_scoring_thread(task: Callable[[], None]) -> None:
            asyncio.run_coroutine_threadsafe(batcher.run(task), loop).result()

        async with self._one_at_a_time:
            self._next_look = None  # what enters the ledger from here on is for another look
            await loop.run_in_executor(None, self._settle, on_scoring_thread)

    def serving(self, model: str) -> str:
        """Return the version that serves a model, "" for none."""
        found = self._serving.get(model)
        return found.version if found else ""

    def _settle(self, run: Run) -> None:
        state = self._reconciler.roll_back_tainted()
        for model in self._models:
            self._follow_model(state, model, run=run)
        self._look_for_missing(state, run)
        self._reconciler.take_view(state, run)
        self._reconciler.request_retrains(state)
        self._switch_exploration(state)
        self._mark_tainted(state)
        self._settle_shadows(state)
        seq = state.seq  # it goes on growing; what comes while it is observed is for the next look
        if seq != self._observed_seq:
            self._reconciler.observe(state)
            self._observed_seq = seq

    def _follow_model(self, state: RegistryState, model: str, *, run: Run) -> None:
        change = self._next_change(state, model)
        if change is not None:
            self._apply(model, *change, run=run)
        self._take_rules(state, model, run)

    def _switch_exploration(self, state: RegistryState) -> None:
        """Let the ledger's switch decide which models explore; the next batch sees it."""
        exploring = frozenset(model for model in self._models if state.explores(model))
        for model in exploring ^ self._scorer.exploring:
            _log.warning("exploration switched", model=model, on=model in exploring)
        self._scorer.exploring = exploring

    def _mark_tainted(self, state: RegistryState) -> None:
        """Let answers of a version that learned from excluded data say so; the next batch does."""
        serving = {it.version for model in self._models if (it := self._champions.get(model)) is not None}
        self._scorer.tainted = frozenset(
            version for version in serving if version in state.versions and state.tainted_by(version)
        )

    def _next_change(self, state: RegistryState, model: str) -> tuple[str, int] | None:
        reign = state.reign(model)
        if reign is None:
            return None
        serving = self._serving.get(model)
        if serving is not None and serving.ledger_seq >= reign.seq:
            return None
        return reign.version, reign.seq

    def _apply(self, model: str, version: str, seq: int, run: Run) -> None:
        if not version:
            run(lambda: self._serve_none(model, seq))
            return
        started = time.perf_counter()
        try:
            champion = self._loader.load(version)
        except FraudError as error:
            kept = self._champions.get(model)
            _log.error("version refused; the old one serves on", version=version, why=error)
            self._metrics.swapped(model, "refused")
            refusal = Applied(
                seq,
                model,
                kept.version if kept else "",
                self._policy_version(model),
                self._view_text(),
                refused=f"{version}: {error}",
            )
            run(lambda: self._refuse(model, refusal))
            return

        pass_point("rollback.loaded")
        run(lambda: self._swap(model, champion, seq, started))

    def _swap(self, model: str, champion: Champion, seq: int, started: float) -> None:
        """Let a champion decide from the next batch on; on the scoring thread."""
        if self._is_overtaken(model, seq):
            return
        policy_version = self._scorer.overruling.policy_version(model, champion.policy_version)
        self._scorer.append(Applied(seq, model, champion.version, policy_version, self._view_text()))
        pass_point("rollback.applied")
        self._put_in_service(model, champion)
        self._serving[model] = Serving(champion.version, seq, policy_version)
        self._metrics.swapped(model, "applied")
        self._metrics.swap_took(model, time.perf_counter() - started)
        _log.info("champion swapped", model=model, version=champion.version, ledger_seq=seq)

    def _is_overtaken(self, model: str, seq: int) -> bool:
        """Tell whether this ledger entry or a later one of the model took effect in the meantime."""
        serving = self._serving.get(model)
        if serving is None or serving.ledger_seq < seq:
            return False
        _log.error("a later entry serves already", model=model, ledger_seq=seq, serving=serving.ledger_seq)
        return True

    def _take_rules(self, state: RegistryState, model: str, run: Run) -> None:
        """Put the rules that the ledger intends in force, and note the policy that decides from here on."""
        # The state goes on growing under our eyes. Rules first: a promotion entered before them is then seen.
        intended = rules_of(state, model)
        if intended is None or self._next_change(state, model) is not None:
            return
        rules = self._ruling.due(intended)
        noted = self._serving.get(model, Serving("", 0)).policy_version
        if rules is None and self._policy_version(model) == noted:
            return

        def swap() -> None:
            digest = rules.rules.digest if rules is not None else None
            policy_version = self._policy_version(model, digest)
            former = self._serving.get(model, Serving("", 0))
            if policy_version != former.policy_version:
                seq = max(intended.seq, former.ledger_seq)
                self._scorer.append(Applied(seq, model, former.version, policy_version, self._view_text()))
                self._serving[model] = Serving(former.version, seq, policy_version)
            if rules is not None:
                self._ruling.put(intended, rules)

        run(swap)

    def _policy_version(self, model: str, digest: str | None = None) -> str:
        """Return the policy that decides a model's payments; by the rules in force, or those of a digest."""
        champion = self._champions.get(model)
        own = champion.policy_version if champion is not None else ""
        if digest is not None:
            return ruled_version(own, digest)
        return self._scorer.overruling.policy_version(model, own)

    def _view_text(self) -> str:
        """Spell the view that stays in force; on the scoring thread."""
        state = self._scorer.state
        return state.fold.view.to_text() if state is not None else ALL

    def _serve_none(self, model: str, seq: int) -> None:
        if self._is_overtaken(model, seq):
            return
        policy_version = self._scorer.overruling.policy_version(model, "")
        self._scorer.append(Applied(seq, model, "", policy_version, self._view_text()))
        self._champions.remove(model)
        self._serving[model] = Serving("", seq, policy_version)
        self._metrics.champion(model, "")
        _log.warning("no champion serves", model=model, ledger_seq=seq)

    def _refuse(self, model: str, refusal: Applied) -> None:
        if self._is_overtaken(model, refusal.ledger_seq):
            return
        self._scorer.append(refusal)
        self._serving[model] = Serving(refusal.version, refusal.ledger_seq, refusal.policy_version)

    def _put_in_service(self, model: str, champion: Champion) -> None:
        self._champions.swap(model, champion)
        self._desk.keep(champion)
        self._metrics.champion(model, champion.version)


def _at_once(task: Callable[[], None]) -> None:
    """Run something where no scoring thread runs yet."""
    task()
