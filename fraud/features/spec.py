"""Which features the service has, in which order, and what shapes their state.

fraud.toml ──▶ FeatureSpec ──▶ names     amount, calendar, numeric fields, then per entity:
                   │                     windows, since, steps, fraud rates
                   ├──▶ fingerprint      equal if and only if states can be exchanged
                   └──▶ Layout           tables of the kernel (`layout.py`)
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fraud.errors import ConfigError
from fraud.features.definitions import of_entity, plain
from fraud.records import Heading, Headings, spans_of
from fraud.settings import Settings
from fraud.settings.features import Calendar, EntityFeatures

STATE_FORMAT = 1
"""Raised when the meaning of stored state changes, so that older snapshots are refused."""

CALENDAR: tuple[Calendar, ...] = ("hour", "day_of_week", "weekend", "night")
AGE_UNBOUNDED_US = 2**62
"""No entity gets as old; a time less this is still an int64."""


@dataclass(frozen=True)
class FeatureSpec:
    """The declared features. `entities[i]` belongs to `entity_names[i]`, the schema's order."""

    entity_names: tuple[str, ...]
    numeric_names: tuple[str, ...]
    entities: tuple[EntityFeatures, ...]
    calendar: tuple[Calendar, ...] = ()
    night_hours: tuple[int, int] = (0, 6)
    timezone: str = "UTC"
    entities_max: int = 1_000_000
    distinct_buckets: int = 64
    reach_us: int = 0
    age_max_us: int = AGE_UNBOUNDED_US
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(name for name, _ in self._defined())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"features: {', '.join(twice)} is produced twice; rename the field of that name"
            )
        object.__setattr__(self, "names", names)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the features from `[schema]`, `[features]` and `[service]`.

        Raises:
            ConfigError: two features would have the same name.
        """
        schema, features = settings.schema_, settings.features
        return cls(
            entity_names=schema.entity_names,
            numeric_names=schema.numeric_names,
            entities=tuple(features.entities.get(name, EntityFeatures()) for name in schema.entity_names),
            calendar=tuple(name for name in CALENDAR if name in features.calendar),
            night_hours=features.night_hours,
            timezone=settings.service.timezone,
            entities_max=features.entities_max,
            distinct_buckets=features.distinct_buckets,
            reach_us=features.reach_us,
            age_max_us=features.age_max or AGE_UNBOUNDED_US,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over all that shapes state; other features may differ."""
        shape = {
            "format": STATE_FORMAT,
            "entities": [
                [name, _shape(entity)] for name, entity in zip(self.entity_names, self.entities, strict=True)
            ],
            "entities_max": self.entities_max,
            "distinct_buckets": self.distinct_buckets,
        }
        return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()

    @cached_property
    def definitions(self) -> dict[str, str]:
        """What each of `names` means, in order (`fraud.features.definitions`)."""
        return dict(self._defined())

    @cached_property
    def places(self) -> dict[str, int]:
        """Column of each feature."""
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def label_fed(self) -> tuple[str, ...]:
        """Features that labels flow into: the fraud rates."""
        return tuple(
            f"{name}_fraud_rate_{rate.name}"
            for name, entity in zip(self.entity_names, self.entities, strict=True)
            for rate in entity.fraud_rates
        )

    @cached_property
    def counts_declines(self) -> bool:
        """Whether what the service decides is part of its state."""
        return any("declined_count" in entity.aggregates and entity.windows for entity in self.entities)

    def select(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the features that match any of the shell-style patterns, in the spec's order.

        Raises:
            ConfigError: a pattern matches no feature.
        """
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in self.names):
                raise ConfigError(
                    f"features: {pattern!r} matches none of the {len(self.names)} features of the service; "
                    f"there are: {', '.join(self.names)}"
                )
        return tuple(name for name in self.names if any(fnmatchcase(name, pattern) for pattern in patterns))

    def indices(self, names: Sequence[str], meant: Mapping[str, str] | None = None) -> NDArray[np.intp]:
        """Return the columns of the named features, in the order asked for.

        `meant` are definitions that they must have; one that is not there is not compared.

        Raises:
            ConfigError: the service has no feature of that name, or one of another definition.
        """
        missing = [name for name in names if name not in self.places]
        if missing:
            raise ConfigError(
                f"features: the service does not hold {', '.join(missing)}; add them to [features] or retrain"
            )
        meant = meant or {}
        others = [name for name in names if meant.get(name) not in (None, self.definitions[name])]
        if others:
            name, *_ = others
            raise ConfigError(
                f"features: {', '.join(others)} meant something else to the model ({name}: {meant[name]!r}, "
                f"now {self.definitions[name]!r}); put [features] and service.timezone back, or retrain"
            )
        return np.array([self.places[name] for name in names], dtype=np.intp)

    def held_since(self, headings: Headings) -> int:
        """Return the position from which on rows were logged with these features, each in its place.

        1 where no heading of the log says otherwise; beyond every position where the last one does.
        """
        own = tuple(self.definitions.items())
        others = [end for _, end, heading in spans_of(headings) if heading.features != own]
        return max(others, default=0) + 1

    def features_of(self, kind: int) -> tuple[str, ...]:
        """Return the features of one entity kind; in `names` they stand side by side."""
        return tuple(name for name, _ in self._defined_of(kind))

    def _defined(self) -> Iterator[tuple[str, str]]:
        yield from plain(self.calendar, self.timezone, self.night_hours, self.numeric_names)
        for kind in range(len(self.entities)):
            yield from self._defined_of(kind)

    def _defined_of(self, kind: int) -> Iterator[tuple[str, str]]:
        age_max_us = None if self.age_max_us == AGE_UNBOUNDED_US else self.age_max_us
        name, entity = self.entity_names[kind], self.entities[kind]
        return of_entity(name, entity, buckets=self.distinct_buckets, age_max_us=age_max_us)


def heading_of(settings: Settings) -> Heading:
    """Return what the rows that a service of these settings logs hold by place."""
    schema, spec = settings.schema_, FeatureSpec.of(settings)
    return Heading(schema.numeric_names, schema.categorical_names, tuple(spec.definitions.items()))


def _shape(entity: EntityFeatures) -> list[Any]:
    """What came later stands at the end and only where it is declared: older fingerprints stay."""
    steps, small = entity.steps, entity.small_amount_minor
    return [
        [[window.width, window.hop] for window in entity.windows],
        sorted(entity.aggregates),
        list(entity.distinct),
        [[rate.width, rate.delay, rate.hop] for rate in entity.fraud_rates],
        *([] if small is None else [["small", small]]),
        *([] if steps is None else [["steps", steps.ratio_thousandths, steps.within]]),
    ]
