"""What exploration has let through today: a fold over the log, so a budget survives a restart.

    decision, in log order ── explored? ─▶ + its amount, to the model and to each budgeted entity
    arrival on another day ─────────────▶ from zero

The day is that of arrival, in the service's time zone. Arrival never decreases
along the log, so a day is over for good: no late event can spend yesterday's
budget. Whether a row may still be let through depends on the rows before it
in the log alone, and replay gives the same sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from fraud.records import Entry, Scored
from fraud.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that one model may let through in a day, base currency minor units; None: no limit.

    `by_entity` holds (index of the entity in the schema, most for each of its surrogates).
    """

    total_minor: int | None = None
    by_entity: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class DaySpending:
    """What one model has let through on one day. A transaction without an entity shares in that of "none"."""

    budget: Budget
    rows: int = 0
    total_minor: int = 0
    by_entity: dict[tuple[int, int], int] = field(default_factory=dict)

    def allows(self, surrogates: tuple[int, ...], amount_minor: int) -> bool:
        """Tell whether an amount still fits into the budgets of the day and of its entities."""
        budget = self.budget
        if budget.total_minor is not None and self.total_minor + amount_minor > budget.total_minor:
            return False
        return all(
            self.by_entity.get((entity, surrogates[entity]), 0) + amount_minor <= most
            for entity, most in budget.by_entity
        )

    def take(self, surrogates: tuple[int, ...], amount_minor: int) -> None:
        """Count an amount that was let through."""
        self.rows += 1
        self.total_minor += amount_minor
        for entity, _ in self.budget.by_entity:
            key = entity, surrogates[entity]
            self.by_entity[key] = self.by_entity.get(key, 0) + amount_minor

    def copy(self) -> "DaySpending":
        """Return the same, to be spent without effect."""
        return DaySpending(self.budget, self.rows, self.total_minor, dict(self.by_entity))

    @property
    def left_minor(self) -> int | None:
        """What is left of the day's budget, None without one; a budget lowered since then leaves 0."""
        most = self.budget.total_minor
        return None if most is None else max(0, most - self.total_minor)


class Spending:
    """Every model's spending of the day that the log stands in. One owner."""

    def __init__(self, budgets: Mapping[str, Budget], zone: ZoneInfo) -> None:
        self.zone = zone
        self._budgets = dict(budgets)
        self._until_us = 0
        self.models = {model: DaySpending(budget) for model, budget in self._budgets.items()}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the budgets from the configuration; nothing is spent yet."""
        index = settings.schema_.entity_names.index
        budgets = {}
        for name, model in settings.models.items():
            exploration = model.policy.exploration
            by_entity = tuple((index(key), most) for key, most in exploration.entity_budget_minor.items())
            budgets[name] = Budget(exploration.budget_minor, by_entity)
        return cls(budgets, settings.service.zone)

    def turn(self, arrival_us: int) -> None:
        """Begin the day of a moment, µs UTC, unless it has begun; a day that is over never comes back."""
        if arrival_us < self._until_us:
            return
        _, self._until_us = day_of(arrival_us, self.zone)
        self.models = {model: DaySpending(budget) for model, budget in self._budgets.items()}

    def take(self, entry: Entry) -> None:
        """Fold one more entry of the log, in order."""
        event = entry.event
        if not isinstance(event, Scored) or not event.decision.explored:
            return
        self.turn(entry.arrival_time_us)
        spent = self.models.get(event.model)
        if spent is not None:
            spent.take(event.surrogates, event.amount_base_minor)

    def to_dict(self) -> dict[str, Any]:
        """Return what is spent, and which entities were counted, for JSON."""
        return {
            "until_us": self._until_us,
            "zone": self.zone.key,
            "models": {
                name: {
                    "entities": [entity for entity, _ in spent.budget.by_entity],
                    "rows": spent.rows,
                    "total_minor": spent.total_minor,
                    "by_entity": [[*key, minor] for key, minor in spent.by_entity.items()],
                }
                for name, spent in self.models.items()
            },
        }

    def resume(self, stored: Mapping[str, Any]) -> bool:
        """Go on from what `to_dict` gave; False, and nothing changed, if other things were counted then.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is something else; nothing is changed.
        """
        counted = {name: [entity for entity, _ in budget.by_entity] for name, budget in self._budgets.items()}
        then = {name: model["entities"] for name, model in stored["models"].items()}
        if stored["zone"] != self.zone.key or then != counted:
            return False
        until_us = int(stored["until_us"])
        models = {
            name: DaySpending(
                self._budgets[name],
                int(model["rows"]),
                int(model["total_minor"]),
                {
                    (int(entity), int(surrogate)): int(minor)
                    for entity, surrogate, minor in model["by_entity"]
                },
            )
            for name, model in stored["models"].items()
        }
        self._until_us, self.models = until_us, models
        return True


def day_of(time_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the first moments of a time's local day and of the next one, µs UTC.

    >>> day_of(1, ZoneInfo("Europe/Brussels"))
    (-3600000000, 82800000000)
    """
    today = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone).date()
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in (today, today + timedelta(1))]
    begin, end = ((start - _EPOCH) // timedelta(microseconds=1) for start in starts)
    return begin, end
