"""What fraud costs those who do it, in integers of minor units, and what is left of it.

    approved fraud ── resale ──▶ proceeds ── access, tools ──▶ profit

Shares come from `[attacks]` (`fraud.settings.attacks`), the one definition of what a
fraudster controls and pays, and are basis points here, so that sums are exact and
`profit = stolen - discount - costs` holds to the cent. What `[attacks]` does not let a
fraudster control, no strategy may use.
"""

from dataclasses import dataclass, fields
from typing import Self

from fraud.adversary.honest import DEVICE, MERCHANT
from fraud.adversary.strategy import Strategy
from fraud.clock import DAY_US, MINUTE_US
from fraud.settings import Settings
from fraud.settings.attacks import EntityControl

DISTANCE = "distance_km"
"""The numeric field that a proxy near the owner makes small."""
_WHOLE_BP = 10_000


@dataclass(frozen=True, slots=True)
class Prices:
    """What `[attacks]` does not know, since it edits a fraud that is already there. Minor units.

    `goods_bp`, `mule_bp`, `colluding_bp` of an approved amount are paid out (basis points).
    An owner notices a payment of `notice_minor` every other time, and blocks the card
    within a day. A mule merchant serves `mule_cards` cards.
    """

    card_minor: int = 1_000
    account_minor: int = 4_000
    opened_minor: int = 6_000
    mule_minor: int = 40_000
    mule_cards: int = 20
    goods_bp: int = 6_000
    mule_bp: int = 8_500
    colluding_bp: int = 6_500
    notice_minor: int = 50_000
    dispute_minor: int = 300
    analyst_minor: int = 200_000


@dataclass(slots=True)
class Purse:
    """Sums of one card or one gang, minor units: what came of attempts, and what was paid for them.

    Attempts are frauds; payments that age an opened card are paid for and stand in `tools_minor`.
    """

    attempts: int = 0
    approved: int = 0
    attempted_minor: int = 0
    stolen_minor: int = 0
    discount_minor: int = 0
    access_minor: int = 0
    tools_minor: int = 0
    pollution_minor: int = 0

    @property
    def spent_minor(self) -> int:
        """All costs; what goods lose in value is not among them."""
        return self.access_minor + self.tools_minor + self.pollution_minor

    @property
    def profit_minor(self) -> int:
        """What is left of approved fraud; below 0 when costs are more."""
        return self.stolen_minor - self.discount_minor - self.spent_minor

    def add(self, other: "Purse") -> None:
        """Take the sums of another purse into this one."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices with the shares of `[attacks]` as basis points; None: the field is not controlled.

    `burning` is the chance that a card which is held for a day is blocked meanwhile
    (`attacks.pace.day_share`); `part_bp` is for each part of a sum after the first.
    """

    prices: Prices
    amount: bool
    merchant_bp: int | None
    device_bp: int | None
    distance_bp: int | None
    part_bp: int | None
    parts_max: int
    parts_apart_us: int
    burning: float | None

    @classmethod
    def of(cls, settings: Settings, prices: Prices | None = None) -> Self:
        """Take the shares from a service's `[attacks]`, for its schema."""
        attacks, schema = settings.attacks, settings.schema_
        split, pace = attacks.split, attacks.pace
        distance = attacks.numeric.get(DISTANCE)
        if DISTANCE not in schema.numeric_names:
            distance_bp: int | None = 0
        else:
            distance_bp = None if distance is None else _bp(distance.share)
        return cls(
            prices=prices or Prices(),
            amount=attacks.amount is not None,
            merchant_bp=_entity_bp(settings, MERCHANT),
            device_bp=_entity_bp(settings, DEVICE) if DEVICE in schema.entity_names else 0,
            distance_bp=distance_bp,
            part_bp=None if split is None else _bp(split.payment_share),
            parts_max=1 if split is None else split.payments_max,
            parts_apart_us=0 if split is None else split.apart,
            burning=None if pace is None else min(1.0, pace.day_share),
        )

    def refusal(self, strategy: Strategy) -> str:
        """Say which control a strategy needs that `[attacks]` does not give; "" for none."""
        needs = {
            "amount": not self.amount and (strategy.step_percent != 100 or strategy.probes > 0),
            f"entities.{MERCHANT}": self.merchant_bp is None and strategy.merchant != "any",
            f"entities.{DEVICE}": self.device_bp is None and strategy.device != "crew",
            f"numeric.{DISTANCE}": self.distance_bp is None and strategy.distance == "near",
            "split": strategy.parts > self.parts_max,
            "pace": self.burning is None and strategy.gap_minutes * MINUTE_US > DAY_US,
        }
        return ", ".join(f"attacks.{name}" for name, missing in needs.items() if missing)

    def access_minor(self, strategy: Strategy) -> int:
        """Return what a card costs before anything is tried with it."""
        prices = self.prices
        prices_of = {"account": prices.account_minor, "opened": prices.opened_minor}
        price = prices_of.get(strategy.access, prices.card_minor)
        if strategy.merchant == "mule":
            price += -(-prices.mule_minor // prices.mule_cards)
        return price

    def discount_minor(self, strategy: Strategy, amount_minor: int) -> int:
        """Return what an approved amount loses on its way to the fraudster."""
        paid = {"mule": self.prices.mule_bp, "colluding": self.prices.colluding_bp}
        return amount_minor - amount_minor * paid.get(strategy.merchant, self.prices.goods_bp) // _WHOLE_BP

    def tools_minor(self, strategy: Strategy, amount_minor: int, part: int) -> int:
        """Return what was paid for the choices behind an approved amount; `part` 0 is the first of a sum."""
        bp = (self.part_bp or 0) if part else 0
        bp += (self.merchant_bp or 0) if strategy.merchant != "any" else 0
        bp += (self.device_bp or 0) if strategy.device != "crew" else 0
        bp += (self.distance_bp or 0) if strategy.distance == "near" else 0
        return amount_minor * bp // _WHOLE_BP


def _entity_bp(settings: Settings, name: str) -> int | None:
    """Return the price of choosing an entity; by default every one but the first can be chosen."""
    given = settings.attacks.entities
    if given is None:
        return _bp(EntityControl().share) if name in settings.schema_.entity_names[1:] else None
    return None if name not in given else _bp(given[name].share)


def _bp(share: float) -> int:
    return round(share * _WHOLE_BP)
