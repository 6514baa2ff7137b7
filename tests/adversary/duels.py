"""A finished demo for tests: two light contests of the same gang, and a ledger's tale beside them."""

from fraud.adversary.choosers import EpsilonGreedy
from fraud.adversary.chronicle import Happening
from fraud.adversary.contest import Contest, ContestSettings
from fraud.adversary.contest_figures import ContestResult
from fraud.adversary.defenders import KernelDefender, Policy
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.figures import DemoDay, DemoResult, Plan
from fraud.adversary.gang import Gang
from fraud.adversary.incident import Repair
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff

PLAN = Plan(
    seed=5,
    days=14,
    first_day=4,
    bought_day=7,
    audit_day=9,
    file_day=11,
    transactions=500,
    cards=400,
    merchants=60,
    stolen=8.0,
)
HAPPENINGS = (
    Happening(4, "retrain", "retrain: first cycle"),
    Happening(4, "verdict", "PROMOTE card-1 (full): first version", "card-1"),
    Happening(4, "promotion", "card-1 is champion", "card-1"),
    Happening(8, "emergency", "emergency retrain: value <found> is less"),
    Happening(8, "verdict", "REJECT card-2 (full): worse", "card-2"),
    Happening(9, "operator", "operator excluded 12 labels: audit"),
    Happening(11, "freeze", "guard froze training: batch b brings 200 frauds; usual are 9"),
)


def _played(policy: Policy) -> ContestResult:
    economy = Economy(
        EconomySettings(
            seed=PLAN.seed,
            days=PLAN.days,
            cards=PLAN.cards,
            merchants=PLAN.merchants,
            transactions_per_day=PLAN.transactions,
        )
    )
    chooser = EpsilonGreedy(known_strategies())
    gang = Gang(economy, chooser, Tariff.of(economy.settings), cards_per_day=PLAN.stolen, seed=PLAN.seed)
    defender = KernelDefender(economy, policy, seed=PLAN.seed)
    return Contest(economy, gang, defender, ContestSettings(seed=PLAN.seed, days=PLAN.days, rounds=4)).play()


def demo_result(**changed: object) -> DemoResult:
    """Return a small result with real contests in it; `changed` replaces fields."""
    service = _played(Policy("service", PLAN.first_day, 2, maturity_us=0))
    never = _played(Policy("never", PLAN.first_day, None, maturity_us=0))
    fields: dict[str, object] = {
        "plan": PLAN,
        "service": service,
        "never": never,
        "days": tuple(
            DemoDay(day, f"2026-03-{day + 2:02d}", "card-1" if day >= 4 else "", day == 11, (), {})
            for day in range(PLAN.days)
        ),
        "happenings": HAPPENINGS,
        "repairs": (Repair(9, "audit: analyst-17 was bought", 12, ("card-2",), "card-2", "card-1"),),
        "payments": 7_000,
        "logged": 7_000,
        "alike": 900,
        "unlike": 0,
        "retrains": 2,
        "failed": (),
        "setup_seconds": 3.0,
        "seconds": 12.0,
    }
    return DemoResult(**{**fields, **changed})  # type: ignore[arg-type]
