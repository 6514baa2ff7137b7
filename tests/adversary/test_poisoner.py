import pytest

from fraud.adversary.choosers import Scripted
from fraud.adversary.economy import Economy
from fraud.adversary.gang import Filing, Gang
from fraud.adversary.honest import Payments, wire_rows
from fraud.adversary.poisoner import ACCOUNT, Poisoner, PoisonSettings
from fraud.adversary.statements import Statements
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.client.scoring import to_message
from fraud.clock import DAY_US
from fraud.records import Label, LabelValue
from fraud.serving.intake import TransactionIntake
from tests.adversary.streams import SMALL

ECONOMY = Economy(SMALL)
TARIFF = Tariff.of(ECONOMY.settings)
FROM_DAY = 5


class Played:
    """All days of a poisoner with a gang, answered by amount; the truth by transaction id."""

    def __init__(self, settings: PoisonSettings) -> None:
        gang = Gang(ECONOMY, Scripted(known_strategies()), TARIFF, cards_per_day=6.0, seed=1)
        self.poisoner = Poisoner(gang, ECONOMY, settings, TARIFF.prices, seed=1)
        self.gang = gang
        self.is_fraud: dict[str, bool] = {}
        self.approved: dict[str, bool] = {}
        self.amount_minor: dict[str, int] = {}
        self.filed: list[tuple[int, Filing]] = []
        statements = Statements(ECONOMY)
        intake = TransactionIntake(ECONOMY.settings)
        for day in range(ECONOMY.days):
            from_us = ECONOMY.start_us + day * DAY_US
            attempts = self.poisoner.plan(day, from_us, from_us + DAY_US, statements)
            ids = [f"{day}-{place}" for place in range(len(attempts.payments))]
            for row in wire_rows(ECONOMY, ids, attempts.payments, "card"):
                intake.read(to_message(row), from_us + DAY_US)
            approved = attempts.payments.amount_minor < 20_000
            self.is_fraud.update(zip(ids, attempts.is_fraud.tolist(), strict=True))
            self.approved.update(zip(ids, approved.tolist(), strict=True))
            self.amount_minor.update(zip(ids, attempts.payments.amount_minor.tolist(), strict=True))
            self.poisoner.see(ids, approved)
            self.filed += [(day, filing) for filing in self.poisoner.file((), from_us + DAY_US)]

    def labels(self, value: LabelValue) -> list[str]:
        return [
            label.transaction_id
            for _, filing in self.filed
            for label in filing.labels
            if label.value is value
        ]


@pytest.fixture(scope="module")
def played() -> Played:
    return Played(PoisonSettings(disputes_per_day=8.0, cleared_per_day=5, from_day=FROM_DAY))


def test_every_filed_label_is_false(played: Played) -> None:
    disputed, cleared = played.labels(LabelValue.FRAUD), played.labels(LabelValue.LEGITIMATE)
    assert len(disputed) > 30
    assert len(cleared) > 30
    assert not any(played.is_fraud[name] for name in disputed)
    assert all(played.approved[name] for name in disputed)
    assert all(played.is_fraud[name] for name in cleared)


def test_nothing_is_filed_before_its_day_and_an_analyst_files_no_more_than_allowed(played: Played) -> None:
    assert min(day for day, _ in played.filed) == FROM_DAY
    cleared = [len(filing.labels) for _, filing in played.filed if filing.source == "analyst"]
    assert max(cleared) == 5


def test_false_labels_come_among_true_ones_and_the_account_had_an_honest_past() -> None:
    def named(submitter: str, source: str, **labels: LabelValue) -> Filing:
        return Filing(source, submitter, tuple(Label(name, value, 1) for name, value in labels.items()))

    due = [
        named("chargeback", "chargeback", a=LabelValue.FRAUD),
        named("analyst-04", "analyst", b=LabelValue.FRAUD),
        named(ACCOUNT, "analyst", c=LabelValue.FRAUD, d=LabelValue.LEGITIMATE),
    ]
    poisoner = Played(PoisonSettings(disputes_per_day=8.0, from_day=FROM_DAY)).poisoner
    bought = poisoner.file(due, ECONOMY.start_us + (ECONOMY.days + 1) * DAY_US)
    assert sorted(it.submitter for it in bought) == ["analyst-04", ACCOUNT, "chargeback"]
    found = {it.submitter: {label.transaction_id: label.value for label in it.labels} for it in bought}
    assert found["chargeback"].pop("a") is LabelValue.FRAUD
    assert found["chargeback"], "what was disputed on the last day"
    assert set(found["chargeback"].values()) == {LabelValue.FRAUD}
    assert found["analyst-04"] == {"b": LabelValue.FRAUD}
    assert found[ACCOUNT] == {"d": LabelValue.LEGITIMATE}
    gang = Gang(ECONOMY, Scripted(known_strategies()), TARIFF, cards_per_day=6.0, seed=1)
    honest = Poisoner(gang, ECONOMY, PoisonSettings(), TARIFF.prices, seed=1)
    assert sorted(honest.file(due, ECONOMY.start_us + DAY_US), key=due.index) == due


def test_no_payment_is_disputed_twice(played: Played) -> None:
    disputed = played.labels(LabelValue.FRAUD)
    assert len(set(disputed)) == len(disputed)


def test_filing_is_paid_for_and_the_gang_earns_as_if_alone(played: Played) -> None:
    prices, purse = TARIFF.prices, played.poisoner.purse
    disputes = len(played.labels(LabelValue.FRAUD))
    assert purse.pollution_minor == prices.analyst_minor + disputes * prices.dispute_minor
    assert purse.stolen_minor == played.gang.purse.stolen_minor > 0
    idle = Played(PoisonSettings(disputes_per_day=0.0, cleared_per_day=0))
    assert idle.filed == []
    assert idle.poisoner.purse == played.gang.purse


def test_answers_reach_the_payments_they_belong_to(played: Played) -> None:
    frauds = [name for name, is_fraud in played.is_fraud.items() if is_fraud and played.approved[name]]
    assert played.gang.purse.approved == len(frauds)
    assert played.gang.purse.stolen_minor == sum(played.amount_minor[name] for name in frauds)


def test_bursts_are_as_many_disputes_in_few_days_by_seed() -> None:
    steady, burst = PoisonSettings(), PoisonSettings(burst_days=4, quiet_days=20)
    first = steady.from_day
    days = range(first + 24 * 3)
    for seed in range(5):
        wanted = [burst.disputes_on(day, seed) for day in days]
        assert sum(wanted) == pytest.approx(sum(steady.disputes_on(day, seed) for day in days))
        assert {*wanted} == {0.0, 5.0 * 24 / 4}
        for start in range(first, len(days), 24):
            busy = [day for day in days[start : start + 24] if wanted[day]]
            assert busy == list(range(busy[0], busy[0] + 4))
    schedules = {tuple(burst.disputes_on(day, seed) for day in days) for seed in range(5)}
    assert len(schedules) == 5
    with pytest.raises(ValueError, match="burst_days: 0"):
        PoisonSettings(burst_days=0)


def test_disputes_of_a_burst_come_in_together_and_none_between() -> None:
    settings = PoisonSettings(disputes_per_day=4.0, burst_days=2, quiet_days=3, from_day=1)
    filed = Played(settings).filed
    by_day = {
        day: sum(label.value is LabelValue.FRAUD for label in filing.labels)
        for day, filing in filed
        if filing.submitter == "chargeback"
    }
    wanted = [settings.disputes_on(day, 1) for day in range(ECONOMY.days - 1)]
    assert {day - 1 for day in by_day} <= {day for day, rate in enumerate(wanted) if rate}
    assert sum(by_day.values()) == pytest.approx(sum(wanted), rel=0.35)
    assert 0.0 in wanted


def test_a_week_ago_without_payments_gives_nothing_to_dispute() -> None:
    gang = Gang(ECONOMY, Scripted(known_strategies()), TARIFF, cards_per_day=6.0, seed=1)
    settings = PoisonSettings(disputes_per_day=50.0, from_day=1)
    poisoner = Poisoner(gang, Closed(SMALL), settings, TARIFF.prices, seed=1)
    for day, count in ((Closed.CLOSED + 7, 0), (Closed.CLOSED + 8, 50)):
        from_us = ECONOMY.start_us + day * DAY_US
        attempts = poisoner.plan(day, from_us, from_us + DAY_US, Statements(ECONOMY))
        ids = [f"{day}-{place}" for place in range(len(attempts.payments))]
        assert attempts.strategies.count("false_dispute") == pytest.approx(count, abs=20 * bool(count))
        poisoner.see(ids, attempts.payments.amount_minor > 0)


class Closed(Economy):
    """An economy in which nobody pays on one day."""

    CLOSED = 3

    def day(self, index: int) -> Payments:
        paid = super().day(index)
        return paid.part(0, 0) if index == self.CLOSED else paid
