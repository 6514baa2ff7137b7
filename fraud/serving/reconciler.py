"""Brings the service to what the exclusions on the ledger demand, and again after a crash.

    a champion is tainted       → RolledBack to its last clean predecessor; where there is none it serves on
                                  until a clean version is promoted, or nothing does (`no_clean_champion`)
    another view is in force    → the feature state takes it, `Applied` in the event log; where other
                                  transactions are hidden, once it is rebuilt beside the service
    a repair wants a retrain    → RetrainRequested, cut behind all of that

An exclusion is one entry of the ledger; everything that follows from it is found
here by looking at what is still missing. So there is nothing to undo when the
process dies half-way: the next one looks again.
"""

import math
import threading
import time
from collections.abc import Callable

import structlog

from fraud.archive.archive import Archive
from fraud.errors import NotAllowedNow, StaleHead
from fraud.faults import pass_point
from fraud.features.fold import FeatureFold
from fraud.labels.exclusions import View
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import Applied
from fraud.registry.approval import awaiting_approval
from fraud.registry.exclusions import ExclusionState
from fraud.registry.ledger import RegistryState
from fraud.registry.probation import probation_of
from fraud.registry.store import roll_back
from fraud.registry.view import Registry
from fraud.serving.aside import TAIL_EVENTS, Rebuild
from fraud.serving.recovery import catch_up
from fraud.serving.replacements import Replacements
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.reconciler")
RETRY_S = 30.0
"""Time between a rebuild that failed, for want of memory perhaps, and the next one."""

Run = Callable[[Callable[[], None]], None]
"""Runs something on the scoring thread and waits for it."""


class Reconciler:
    """Repairs one scorer. Blocking; called from one thread at a time, never the scoring thread."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        scorer: Scorer,
        archive: Archive,
        replacements: Replacements,
        metrics: ScorerMetrics,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._scorer = scorer
        self._archive = archive
        self._replacements = replacements
        self._metrics = metrics
        self._told_of: set[tuple[str, int]] = set()
        self._rebuild: Rebuild | None = None
        self._again_at_s = -math.inf
        self._stopped = False
        self._stopping = threading.Lock()

    def stop(self) -> None:
        """End a rebuild and begin no other, without waiting; from any thread."""
        with self._stopping:
            self._stopped = True
            if self._rebuild is not None:
                self._rebuild.stop()

    def close(self) -> None:
        """Stop, and wait until neither log nor archive is read any more."""
        self.stop()
        if self._rebuild is not None:
            self._rebuild.join()

    def roll_back_tainted(self) -> RegistryState:
        """Put a clean version, or none, in place of tainted champions; return the ledger's state."""
        state = self._registry.refresh()
        for model in self._settings.models:
            champion = state.champion(model)
            seqs = state.tainted_by(champion) if champion else ()
            if seqs:
                self._roll_back(state, model, champion, state.exclusion(seqs[0]))
        return self._registry.refresh()

    def _roll_back(self, state: RegistryState, model: str, champion: str, by: ExclusionState) -> None:
        version = self._replacements.of(model, state.clean_champions(model), state)
        if version == champion:
            self._tell_kept(champion, by.seq)
            return
        reason = f"tainted by exclusion {by.seq}: {by.reason}"
        try:
            roll_back(
                self._registry.store,
                model,
                version,
                champion,
                actor=by.actor,
                reason=reason,
                time_us=self._scorer.now_us(),
                exclusion=by.seq,
            )
        except StaleHead:
            return  # somebody was first; the next look finds what is true now
        except NotAllowedNow as error:
            # What else the look has to do, for other models too, must not wait for it.
            _log.error("not rolled back", model=model, from_version=champion, to_version=version, why=error)
            return
        pass_point("exclusion.rolled_back")
        self._metrics.rolled_back(model)
        _log.warning("rolled back", model=model, from_version=champion, to_version=version, why=reason)

    def _tell_kept(self, champion: str, exclusion_seq: int) -> None:
        """Say once that a tainted champion serves on."""
        if (champion, exclusion_seq) not in self._told_of:
            self._told_of.add((champion, exclusion_seq))
            _log.warning("a tainted version serves on", version=champion, exclusion=exclusion_seq)

    def take_view(self, state: RegistryState, run: Run) -> None:
        """Let the feature state count what the ledger says counts.

        Labels count by it on return. Where other transactions are hidden a rebuild
        begins, and the first call after its end changes over to what it made.
        """
        held = self._scorer.state
        if held is None:
            return
        view, present = state.view(), held.fold.view
        labels = View((*present.transactions, *view.labels))
        if labels != present:
            self._put_in_force(labels, state, run, lambda fold: fold.see(labels))
        if view.transactions == present.transactions:
            self._let_rebuild_go()
            return
        rebuilt = self._rebuilt(view)
        if rebuilt is None:
            return
        pass_point("exclusion.rebuilt")
        try:
            rebuilt.see(view)
            log = self._scorer.log
            while log.head() - rebuilt.position > TAIL_EVENTS:
                catch_up(rebuilt, log, self._archive, log.head(), follow=False)
        except Exception:
            self._let_rebuild_go()
            raise
        # Where the log cannot be written what was rebuilt is kept for the next look.
        self._put_in_force(view, state, run, lambda fold: self._change_over(fold, rebuilt))
        self._let_rebuild_go()

    def _put_in_force(
        self, view: View, state: RegistryState, run: Run, change: Callable[[FeatureFold], None]
    ) -> None:
        applied = Applied(state.view_seq, "", "", "", view.to_text())
        run(lambda: self._scorer.change_view(applied, change))
        pass_point("exclusion.in_force")
        _log.warning("another view is in force", view=view.to_text(), ledger_seq=applied.ledger_seq)

    def _rebuilt(self, view: View) -> FeatureFold | None:
        """Return state that hides a view's transactions, None while it is being made; at once."""
        work = self._rebuild
        if work is not None:
            if work.view.transactions != view.transactions:
                work.stop()
            if not work.ended:
                return None
            if not work.stopped:
                try:
                    return work.fold()
                except Exception as error:  # noqa: BLE001 — the rest of the look must not wait for memory
                    self._again_at_s = time.monotonic() + RETRY_S
                    _log.error("not rebuilt; will try again", why=error, again_after_s=RETRY_S)
        with self._stopping:
            self._rebuild = None
            if not self._stopped and time.monotonic() >= self._again_at_s:
                _log.info("rebuilding feature state beside the service", view=view.to_text())
                self._rebuild = Rebuild(self._settings, view, self._scorer.log, self._archive)
        return None

    def _let_rebuild_go(self) -> None:
        """End a rebuild that nobody needs any more."""
        if self._rebuild is not None:
            self._rebuild.stop()
            if self._rebuild.ended:
                self._rebuild = None

    def _change_over(self, fold: FeatureFold, rebuilt: FeatureFold) -> None:
        log, state = self._scorer.log, self._scorer.state
        catch_up(rebuilt, log, self._archive, log.head(), follow=False)
        fold.become(rebuilt)
        if state is not None:
            # A snapshot is due at once: to restore from an older one is to rebuild all of this again.
            state.snapshot_at = min(state.snapshot_at, log.head() - self._settings.log.snapshot_every_events)

    def request_retrains(self, state: RegistryState) -> None:
        """Ask for the retrains that end repairs, once all of the log is seen through the new view."""
        held = self._scorer.state
        if held is None or held.fold.view != state.view():
            return
        for exclusion in state.repairs_due():
            body = {
                "model": "",
                "cut_position": self._scorer.log.head(),
                "cut_time_us": self._scorer.now_us(),
                "trigger": "exclusion",
                "exclusion": exclusion.seq,
            }
            try:
                self._registry.store.append(
                    "RetrainRequested",
                    body,
                    actor=exclusion.actor,
                    reason=f"without the data of exclusion {exclusion.seq}: {exclusion.reason}",
                    time_us=self._scorer.now_us(),
                    expected_head=state.seq,
                )
            except StaleHead:
                return
            pass_point("exclusion.retrain_requested")
            state = self._registry.refresh()

    def observe(self, state: RegistryState) -> None:
        """Publish taint, exclusions, and what waits for a person."""
        for model in self._settings.models:
            tainted = [
                it
                for it in list(state.versions.values())
                if it.model == model and state.tainted_by(it.version)
            ]
            champion = bool(state.champion(model)) and bool(state.tainted_by(state.champion(model)))
            self._metrics.taint(model, len(tainted), champion=champion)
            self._metrics.on_probation(model, on=probation_of(state, model) is not None)
            by_approval = self._settings.gate.mode == "approval"
            self._metrics.awaiting_approval(model, len(awaiting_approval(state, model)) if by_approval else 0)
        self._metrics.exclusions_in_force(sum(it.in_force for it in list(state.exclusions.values())))
