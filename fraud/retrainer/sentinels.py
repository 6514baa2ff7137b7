"""Sets confirmed frauds apart as sentinels, and says how well the champion knows them.

    ids ─► screened ─► scored by the champion from the logged features ─► one entry of the ledger

Log and archive are only read, so scorer and retrainer may run beside it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import polars as pl

from fraud.archive.archive import Archive
from fraud.bundle.store import BundleStore
from fraud.errors import ConfigError, InvalidInput, LimitExceeded, NotAllowedNow
from fraud.eventlog.folder import clock_of, open_log
from fraud.eventlog.log import EventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.gate.sentinels import SentinelCount
from fraud.records import LabelValue
from fraud.registry.ledger import RegistryState
from fraud.registry.sentinels import SentinelSet, check_new
from fraud.registry.store import LedgerStore
from fraud.retrainer.casework import Rival, alerts_on
from fraud.retrainer.screening import Facts, Progress, Refused, read_facts, screen, tell_nobody
from fraud.settings import Settings

WEAK_SHARE = 0.5
"""A champion that catches less of a set than this has little to be held to."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A set, and what is true of it now.

    `caught` is how many of its frauds the present champion alerts on, None
    without one; `needed` how many a challenger has to, None without any
    reference; `confirmed` how many the trusted source still calls fraud.
    """

    sentinels: SentinelSet
    caught: int | None
    needed: int | None
    confirmed: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What became of a wish for a new set: the set, None when it was not added, and who was refused.

    `seen` counts frauds of the set that the champion may have learned from.
    """

    sentinels: SentinelSet | None
    refused: tuple[Refused, ...]
    seen: int = 0


class SentinelDesk:
    """Adds, lists and retires sets on a data folder. One thread; close it when done."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        archive: Archive,
        bundles: BundleStore,
        ledger: LedgerStore,
        progress: Progress = tell_nobody,
    ) -> None:
        self._settings = settings
        self._log = log
        self._archive = archive
        self._bundles = bundles
        self._ledger = ledger
        self._progress = progress

    @classmethod
    def open(cls, settings: Settings, progress: Progress = tell_nobody) -> Self:
        """Open the data folder; a service may run on it.

        Raises:
            NotAllowedNow: there is no log yet.
        """
        places = settings.places
        return cls(
            settings,
            open_log(settings),
            open_archive(settings),
            BundleStore(places.bundles),
            LedgerStore.open(places.ledger, create=False),
            progress,
        )

    def close(self) -> None:
        """Close log and ledger."""
        self._log.close()
        self._ledger.close()

    def add(
        self,
        model: str,
        pattern: str,
        ids: Sequence[str],
        *,
        actor: str,
        reason: str,
        skip_refused: bool = False,
    ) -> Addition:
        """Freeze transactions, each named once, as the sentinels of a pattern.

        When some are refused nothing is added, unless they are to be skipped.

        Raises:
            Conflict: the model has or had the pattern.
            ConfigError: no such model.
            InvalidInput, LimitExceeded: too few or too many are left, or the pattern is no name.
            NotAllowedNow: the model has as many patterns as it may.
        """
        self._check_model(model)
        state = self._ledger.state()
        check_new(state, model, pattern)
        self._check_bounds(state, model, len(ids))
        facts = self._facts(state, ids)
        taken = {
            each: sentinels.pattern
            for sentinels in state.sentinels.values()
            for each in sentinels.transaction_ids
        }
        fit, refused = screen(ids, facts, taken, model, self._settings.sentinel_source)
        if refused and not (fit and skip_refused):
            return Addition(None, tuple(refused))
        least = self._settings.sentinels.rows_min
        if len(fit) < least:
            left = f"{len(fit)} confirmed frauds, a set has at least {least} (sentinels.rows_min)"
            raise InvalidInput("sentinels", left, "name more frauds of the pattern, or lower the bound")
        rows = facts.transactions.filter(pl.col("transaction_id").is_in(fit)).sort("position")
        return self._record(state, model, pattern, rows, tuple(refused), actor=actor, reason=reason)

    def _record(
        self,
        state: RegistryState,
        model: str,
        pattern: str,
        rows: pl.DataFrame,
        refused: tuple[Refused, ...],
        *,
        actor: str,
        reason: str,
    ) -> Addition:
        champion = self._champion(state, model)
        seen = 0
        if champion is not None:
            seen = len(rows) - len(champion.unseen.of(rows))
        body = {
            "model": model,
            "pattern": pattern,
            "transaction_ids": rows["transaction_id"].to_list(),
            "positions": rows["position"].to_list(),
            "source": self._settings.sentinel_source,
            "champion": "" if champion is None else champion.state.version,
            "caught": None if champion is None else alerts_on(champion.bundle, rows) / len(rows),
        }
        self._ledger.append("SentinelAdded", body, actor=actor, reason=reason, time_us=self._now_us())
        return Addition(self._ledger.state().sentinels[model, pattern], refused, seen)

    def standings(self, model: str = "") -> list[Standing]:
        """Return the sets of a model ("": of every one), oldest first, as they stand now.

        Raises:
            ConfigError: no such model.
        """
        if model:
            self._check_model(model)
        state = self._ledger.state()
        found = [each for each in state.sentinels.values() if model in ("", each.model)]
        facts = self._facts(state, [each for sentinels in found for each in sentinels.transaction_ids])
        champions = {name: self._champion(state, name) for name in {each.model for each in found}}
        return [self._standing(each, facts, champions[each.model]) for each in found]

    def _standing(self, sentinels: SentinelSet, facts: Facts, champion: Rival | None) -> Standing:
        ids = pl.col("transaction_id").is_in(sentinels.transaction_ids)
        caught = None
        if champion is not None:
            caught = alerts_on(champion.bundle, facts.transactions.filter(ids))
        kept_share = self._settings.sentinels.kept_share
        count = SentinelCount(
            sentinels.pattern, len(sentinels), 0, caught, sentinels.caught_rows, kept_share=kept_share
        )
        is_fraud = pl.col("value") == int(LabelValue.FRAUD)
        confirmed = facts.standing.filter(ids & is_fraud & (pl.col("source") == sentinels.source))
        return Standing(sentinels, caught, count.needed, len(confirmed))

    def retire(self, model: str, pattern: str, *, actor: str, reason: str) -> SentinelSet:
        """Let go of a set: it guards nothing from here on, and its frauds may be learned from.

        Raises:
            ConfigError: no such model.
            NotFound: it has no such pattern.
        """
        self._check_model(model)
        body = {"model": model, "pattern": pattern}
        self._ledger.append("SentinelRetired", body, actor=actor, reason=reason, time_us=self._now_us())
        return self._ledger.state().retired_sentinels[model, pattern]

    def _facts(self, state: RegistryState, ids: Sequence[str]) -> Facts:
        return read_facts(self._settings, self._log, self._archive, ids, state.view(), self._progress)

    def _champion(self, state: RegistryState, model: str) -> Rival | None:
        """Return the champion; None without one, and where its bundle or a feature of it is gone."""
        champion = state.champion(model)
        if not champion:
            return None
        rival = Rival.read(state.version(champion), self._bundles, FeatureSpec.of(self._settings))
        return None if rival.unreadable else rival

    def _check_model(self, model: str) -> None:
        if model not in self._settings.models:
            there = ", ".join(self._settings.models)
            raise ConfigError(f"model {model!r} is not configured; there are: {there}")

    def _check_bounds(self, state: RegistryState, model: str, count: int) -> None:
        bounds = self._settings.sentinels
        if count > bounds.rows_max:
            most = f"{count} transactions, a set has at most {bounds.rows_max} (sentinels.rows_max)"
            raise LimitExceeded("sentinels", most, "choose the clearest of them, or make two patterns")
        patterns = Counter(of for of, _ in state.sentinels)[model]
        if patterns >= bounds.patterns_max:
            raise NotAllowedNow(
                f"{model!r} has {patterns} sets of sentinels, as many as it may (sentinels.patterns_max); "
                "retire one first"
            )

    def _now_us(self) -> int:
        return clock_of(self._settings, self._log).now_us()


def weakness(added: SentinelSet) -> str:
    """Say why a set guards little as long as the champion stays, "" when it guards well."""
    caught = added.caught_rows
    if caught is None:
        return "there is no champion yet: the set holds back nobody before one has caught some of it"
    if caught < WEAK_SHARE * len(added):
        missed = len(added) - caught
        return (
            f"a weak guard: {added.champion} does not alert on {missed} of these {len(added)} frauds, "
            "so a challenger may miss them too until a champion has caught more"
        )
    return ""
