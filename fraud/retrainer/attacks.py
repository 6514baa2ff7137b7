"""Confirms and ends attacks on a data folder: `merchant=m_17` becomes a slice that the gate judges.

    pairs NAME=VALUE ─► entity: its surrogate from the log's dictionary · field: the word ─► one entry

The log is only read, so scorer and retrainer may run beside it.
"""

from collections.abc import Sequence
from typing import Self

from fraud.errors import ConfigError, InvalidInput, NotFound
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.folder import clock_of, open_log
from fraud.eventlog.log import EventLog
from fraud.eventlog.wording import check_wording
from fraud.registry.attacks import Attack, attack_of
from fraud.registry.store import LedgerStore
from fraud.settings import Settings


class AttackDesk:
    """Confirms, lists and ends attacks. One thread; close it when done."""

    def __init__(self, settings: Settings, log: EventLog, ledger: LedgerStore) -> None:
        self._settings = settings
        self._log = log
        self._ledger = ledger

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the data folder; a service may run on it.

        Raises:
            NotAllowedNow: there is no log yet.
        """
        log = open_log(settings)
        try:
            log.hold_to_key(EntityKey.of(settings).fingerprint)
        except BaseException:
            log.close()
            raise
        return cls(settings, log, LedgerStore.open(settings.places.ledger, create=False))

    def close(self) -> None:
        """Close log and ledger."""
        self._log.close()
        self._ledger.close()

    def confirm(
        self, model: str, where: Sequence[tuple[str, str]], since_us: int, *, actor: str, reason: str
    ) -> Attack:
        """Enter an attack: payments from an event time on of which every (name, value) holds.

        Raises:
            ConfigError: no such model.
            InvalidInput: nothing is given, a name twice, or one that is neither entity nor field; or actor
                or reason holds one of the tokens.
            NotFound: no payment ever had that token.
        """
        if model not in self._settings.models:
            there = ", ".join(self._settings.models)
            raise ConfigError(f"model {model!r} is not configured; there are: {there}")
        schema = self._settings.schema_
        fields = [name for name in schema.categorical_names if name not in schema.personal_names]
        names = [name for name, _ in where]
        allowed = [*schema.entity_names, *fields]
        wrong = [name for name in names if name not in allowed]
        if wrong or not names or len(set(names)) < len(names):
            problem = f"knows no {', '.join(wrong)}" if wrong else "names nothing, or something twice"
            raise InvalidInput("where", problem, f"give NAME=VALUE once for any of {', '.join(allowed)}")
        tokens = {name: value for name, value in where if name in schema.entity_names}
        check_wording(tokens.values(), actor=actor, reason=reason)
        body = {
            "model": model,
            "entities": self._surrogates(tokens),
            "words": {name: value for name, value in where if name in fields},
            "since_us": since_us,
        }
        entry = self._ledger.append(
            "AttackConfirmed", body, actor=actor, reason=reason, time_us=self._now_us()
        )
        return attack_of(self._ledger.state(), entry.seq)

    def in_force(self) -> list[Attack]:
        """Return the attacks in force, oldest first."""
        return list(self._ledger.state().attacks.values())

    def end(self, seq: int, *, actor: str, reason: str) -> Attack:
        """Let the gate look at an attack no more.

        Raises:
            NotFound: that entry confirms no attack in force.
        """
        attack = attack_of(self._ledger.state(), seq)
        body = {"attack": seq}
        self._ledger.append("AttackEnded", body, actor=actor, reason=reason, time_us=self._now_us())
        return attack

    def _surrogates(self, tokens: dict[str, str]) -> dict[str, int]:
        names = self._settings.schema_.entity_names
        stored = EntityKey.of(self._settings).stored
        wanted = {(names.index(name), stored(name, token)): name for name, token in tokens.items()}
        found = {}
        for known in self._log.tokens() if wanted else ():
            name = wanted.pop((known.entity_index, known.token), None)
            if name is not None:
                found[name] = known.surrogate
        if wanted:
            missing = ", ".join(wanted.values())
            raise NotFound(f"{missing}: no payment ever had this token; check it")
        return found

    def _now_us(self) -> int:
        return clock_of(self._settings, self._log).now_us()
