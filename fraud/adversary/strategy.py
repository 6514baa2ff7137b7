"""What a fraudster does with a stolen card, as numbers: strategies are read from files, and mutate.

    TOML or JSON ─ checked against `BOUNDS` and `CHOICES` ─▶ Strategy ─ mutated ─▶ Strategy

The eight of `strategies.toml` have permanent names, so that figures of different days can
be compared; a benchmark is given others by file. A strategy says which raw fields are
chosen and how (amount, pace, merchant, device), never what a feature should be: the threat
model is that of Feedzai (arXiv 2307.15677), with accept or decline as the only answer
(FRAUD-RLA, arXiv 2502.02290) and costs as in arXiv 2208.13058 and 1912.01149 (`tariff`).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np

from fraud.documents import read_bounded, read_json, read_toml
from fraud.errors import ConfigError

BOUNDS: Mapping[str, tuple[int, int]] = {
    "amount_minor": (100, 500_000),
    "usual_percent": (0, 1_000),
    "step_percent": (25, 400),
    "payments": (1, 40),
    "gap_minutes": (1, 14 * 24 * 60),
    "parts": (1, 8),
    "probes": (0, 10),
    "probe_minor": (100, 10_000),
    "probe_gap_minutes": (1, 7 * 24 * 60),
    "hour_from": (0, 23),
    "hour_until": (1, 24),
    "declines_max": (1, 10),
}
"""Least and greatest value of each number."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "access": ("card", "account", "opened"),
    "merchant": ("any", "busy", "habitual", "mule", "colluding"),
    "device": ("crew", "new", "own"),
    "distance": ("far", "near"),
}

_ACCOUNT_ONLY = {"merchant": "habitual", "device": "own"}
_MUTATED_SHARE = 0.35
_MUTATED_BY = 0.5
_SWITCHED_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How one stolen card is used.

    First come `probes` payments of `probe_minor`, `probe_gap_minutes` apart, each waiting
    for its answer. Then `payments` of `amount_minor` (with `usual_percent` above 0: that
    share of what the owner usually pays), `gap_minutes` apart, each of `step_percent` of
    the one before and split into `parts`. All of it from `hour_from` to `hour_until`, UTC,
    and until `declines_max` declines. `access` to an account shows what its owner does, so
    `habitual` merchants, the `own` device and `usual_percent` need it; a card that was
    `opened` under a made-up name ages first, with probes that are paid for. A `crew` device
    is shared by the cards of a strategy. What a `mule` merchant is paid comes back at once;
    `colluding` ones have honest customers too.

    Raises:
        ConfigError: a value is out of bounds, or does not go with another.
    """

    name: str
    amount_minor: int = 10_000
    usual_percent: int = 0
    step_percent: int = 100
    payments: int = 3
    gap_minutes: int = 60
    parts: int = 1
    probes: int = 0
    probe_minor: int = 100
    probe_gap_minutes: int = 60
    hour_from: int = 0
    hour_until: int = 24
    declines_max: int = 1
    access: str = "card"
    merchant: str = "any"
    device: str = "crew"
    distance: str = "far"

    def __post_init__(self) -> None:
        for field, (least, most) in BOUNDS.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise self._wrong(field, f"give {least} to {most}")
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise self._wrong(field, f"give one of {', '.join(allowed)}")
        if self.hour_from >= self.hour_until:
            raise self._wrong("hour_until", f"give more than hour_from, {self.hour_from}")
        if self.access != "account":
            for field, value in _ACCOUNT_ONLY.items():
                if getattr(self, field) == value:
                    raise self._wrong(field, 'only an account shows that; set access = "account"')
            if self.usual_percent:
                raise self._wrong("usual_percent", 'only an account shows that; set access = "account"')

    def _wrong(self, field: str, remedy: str) -> ConfigError:
        return ConfigError(f"strategy {self.name}: {field} = {getattr(self, field)!r}: {remedy}")

    @property
    def waits(self) -> bool:
        """True for one who needs each answer before the next payment: its amount depends on it."""
        return self.step_percent != 100

    def mutated(self, rng: np.random.Generator, name: str) -> Self:
        """Return a copy with some numbers and choices changed, within bounds, that fits together."""
        changes: dict[str, Any] = {}
        for field, (least, most) in BOUNDS.items():
            if rng.random() < _MUTATED_SHARE:
                factor = np.exp(rng.normal(0.0, _MUTATED_BY))
                moved = round((getattr(self, field) + (least == 0)) * factor) - (least == 0)
                changes[field] = int(np.clip(moved, least, most))
        for field, allowed in CHOICES.items():
            if rng.random() < _SWITCHED_SHARE:
                changes[field] = str(rng.choice(allowed))
        return replace(self, name=name, **_fitting(asdict(self) | changes, changes))

    def as_json(self) -> dict[str, Any]:
        """Return the strategy as a table that `read_strategies` takes."""
        return asdict(self)


def _fitting(whole: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes, and with them what has to follow."""
    changed = dict(changes)
    if whole["hour_from"] >= whole["hour_until"]:
        changed |= {"hour_from": 0, "hour_until": 24}
    if whole["access"] != "account":
        changed["usual_percent"] = 0
        changed |= {field: "any" for field in ("merchant",) if whole[field] == "habitual"}
        changed |= {field: "new" for field in ("device",) if whole[field] == "own"}
    return changed


def known_strategies() -> tuple[Strategy, ...]:
    """Return the eight strategies of development, in the order of `strategies.toml`."""
    text = files("fraud.adversary").joinpath("strategies.toml").read_text(encoding="utf-8")
    return _strategies(tomllib.loads(text), "strategies.toml")


def read_strategies(path: Path) -> tuple[Strategy, ...]:
    """Read strategies from a TOML or JSON file: a table per strategy, by its name.

    Raises:
        ConfigError: the file cannot be read, or a strategy is wrong; the message names it.
    """
    try:
        text = read_bounded(path).decode()
        tables = read_json(text) if path.suffix == ".json" else read_toml(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return _strategies(tables, path.name)


def _strategies(tables: Any, source: str) -> tuple[Strategy, ...]:
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{source}: holds no strategy; give a table for each, under its name")
    known = {*BOUNDS, *CHOICES}
    found = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: {name} is no table; give [{name}] with the strategy's numbers")
        unknown = sorted(set(table) - known - {"name"})
        if unknown:
            allowed = ", ".join(sorted(known))
            raise ConfigError(f"{source}: strategy {name}: unknown {', '.join(unknown)}; allowed: {allowed}")
        found.append(Strategy(**{**table, "name": name}))
    return tuple(found)
