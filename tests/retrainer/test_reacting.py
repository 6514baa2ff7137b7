"""Emergency retrains on a real log, archive and ledger: a burst starts one, a budget holds a poisoner."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.records import Label, LabelsSubmitted, LabelValue, Scored
from fraud.registry.ledger import RegistryState
from fraud.registry.view import Registry
from fraud.retrainer.cycle import Order
from fraud.retrainer.daemon import Watch
from fraud.settings import Settings
from fraud.stopping import Stopping
from fraud.training.history import Cut
from tests.retrainer.answering import Scoring
from tests.retrainer.emergencies import (
    TODAY,
    conclude,
    copied,
    look,
    missed,
    opened,
    report,
    settings_of,
    shown,
    sixty_days,
)
from tests.retrainer.patterns import START_US, World


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sixty_days(tmp_path_factory.mktemp("reacting"), Scoring)


@pytest.fixture
def world(folder: Path, tmp_path: Path) -> Iterator[Scoring]:
    with copied(folder, tmp_path / "world", Scoring) as opened:
        yield opened


def test_quiet_weeks_start_nothing(world: Scoring) -> None:
    shop, monitor = opened(world)
    assert look(world, shop, monitor) is None
    assert monitor.alarms() == ()
    votes, expected = (
        shown(shop, name, model="card") for name in ("fraud_miss_votes", "fraud_miss_expected_votes")
    )
    assert votes is not None
    assert expected is not None
    assert votes < 3 * expected
    assert shown(shop, "fraud_emergency_left_retrains") == 2


def test_a_burst_of_confirmed_misses_is_an_emergency_with_its_reason(world: Scoring) -> None:
    shop, monitor = opened(world)
    report(world, [*missed(world, 58, 20), *missed(world, 59, 20)], "new-attack")
    order = look(world, shop, monitor)
    assert order is not None
    assert (order.trigger, order.models, order.request_seq) == ("misses", ("card",), None)
    assert "separate misses were confirmed" in order.reason
    assert order.cut.position == world.log.head(), "the newest cases are among what is judged"
    assert shown(shop, "fraud_trigger_active", model="card", trigger="misses") == 1
    assert shown(shop, "fraud_trigger_active", model="transfer", trigger="misses") == 0


@pytest.mark.parametrize(
    ("source", "submitter"), [("analyst", "bank"), ("customer", "mallory")], ids=["source", "stranger"]
)
def test_labels_of_an_untrusted_source_or_of_a_stranger_start_nothing(
    world: Scoring, source: str, submitter: str
) -> None:
    shop, monitor = opened(world)
    report(world, [*missed(world, 58, 40), *missed(world, 59, 40)], "flood", source, submitter)
    assert look(world, shop, monitor) is None


def test_one_batch_that_the_guard_finds_odd_starts_nothing(world: Scoring) -> None:
    shop, monitor = opened(world)
    ids = [*missed(world, 57, 60), *missed(world, 58, 60), *missed(world, 59, 60)]
    now_us = world.log.last_arrival_us() + 1
    labels = tuple(Label(each, LabelValue.FRAUD, now_us) for each in ids)
    world.log.append([LabelsSubmitted("huge", 0, "customer", "bank", labels, "huge")], now_us, [])
    assert look(world, shop, monitor) is None
    assert shown(shop, "fraud_miss_votes", model="card") is not None


@pytest.mark.parametrize(
    ("models", "ended", "again"),
    [
        (("card",), "finished", False),
        (("card",), "died", True),
        (("card",), "failed", True),
        (("card",), "frozen", True),
        (("transfer",), "finished", True),
    ],
)
def test_a_burst_is_answered_only_by_a_cycle_that_trained_the_model(
    world: Scoring, models: tuple[str, ...], ended: str, again: bool
) -> None:
    shop, monitor = opened(world)
    report(world, [*missed(world, 58, 20), *missed(world, 59, 20)], "new-attack")
    order = look(world, shop, monitor)
    assert order is not None
    conclude(world, replace(order, models=models), shop.clock.now_us(), ended)
    assert look(world, shop, monitor) is None, "within the hold-down"
    # In vain once: twice the hold-down of an hour.
    later_us = world.log.last_arrival_us() + 2 * HOUR_US
    label = (Label(missed(world, 40, 1)[0], LabelValue.LEGITIMATE, later_us),)
    world.log.append([LabelsSubmitted("later", 0, "customer", "bank", label, "later")], later_us, [])
    order = look(world, shop, monitor)
    assert (order is not None) == again
    if order is not None:
        assert (order.trigger, order.models) == ("misses", ("card",))
        assert "separate misses were confirmed" in order.reason
        assert order.reason.startswith("emergency (2 of 2 in 7d): ")


@pytest.mark.parametrize("ended", ["finished", "died", "failed"])
def test_a_weekly_cycle_that_came_to_nothing_is_run_again_after_the_hold_down(
    world: Scoring, ended: str
) -> None:
    shop, monitor = opened(world, FRAUD__TRAINING__TRIGGERS__EVERY="7d")
    both = ("card", "transfer")
    conclude(world, Order(both, Cut(1, 0), "by hand"), START_US + 50 * DAY_US)
    order = look(world, shop, monitor)
    assert order is not None
    assert (order.trigger, order.models) == ("schedule", both)
    conclude(world, order, world.log.last_arrival_us() - HOUR_US, ended)
    order = look(world, shop, monitor)
    assert (order is not None) == (ended != "finished")
    assert order is None or order.reason.startswith("schedule, again: the cycle of ")


def test_a_flood_of_false_disputes_starts_no_more_than_the_budget_allows(world: Scoring) -> None:
    """The trusted feed itself is false, day after day, on cards and merchants of all kinds."""
    shop, monitor = opened(world)
    started: list[int] = []
    for day in range(TODAY, TODAY + 16):
        world.pass_days(day + 1)
        report(world, [*missed(world, day, 60), *missed(world, day - 1, 120)[60:]], f"false-{day}")
        for _ in range(3):
            order = look(world, shop, monitor)
            if order is not None:
                now_us = shop.clock.now_us()
                started.append(now_us)
                conclude(world, order, now_us)
    assert len(started) >= 2, "he does move it"
    within = settings_of(world).training.triggers.emergencies_within
    for moment in started:
        assert sum(moment - within < it <= moment for it in started) <= 2
    monitor.observe()
    assert shown(shop, "fraud_emergency_used_retrains") == sum(
        shop.clock.now_us() - it < within for it in started
    )
    assert shown(shop, "fraud_retrain_last_trigger", trigger="misses") == 1


def probe(world: Scoring, cards: int) -> None:
    """Cards that climb a ladder of small steps within the last hours."""
    patterned = next(event for event in world._traffic(TODAY) if isinstance(event, Scored))
    now_us = world.log.last_arrival_us()
    events = [
        replace(
            patterned,
            transaction_id=f"probe-{card}-{step}",
            event_time_us=now_us - (10 - step) * MINUTE_US,
            surrogates=(900_000 + card, card),
            amount_base_minor=int(1_000 * 1.2**step),
        )
        for card in range(cards)
        for step in range(6)
    ]
    world.log.append(events, now_us + 1, [])


@pytest.mark.parametrize("wanted", [True, False])
def test_probing_shows_at_once_and_starts_a_retrain_where_it_is_wanted(world: Scoring, wanted: bool) -> None:
    shop, monitor = opened(world, FRAUD__TRAINING__TRIGGERS__PROBING=str(wanted).lower())
    assert look(world, shop, monitor) is None
    key = {"model": "card", "pattern": "ladder", "kind": "card"}
    assert shown(shop, "fraud_probing_findings", **key) == 0
    probe(world, cards=12)
    order = look(world, shop, monitor)
    assert shown(shop, "fraud_probing_entities", **key) == 12
    assert shown(shop, "fraud_probing_findings", **key) == 1
    assert (order is not None and order.trigger == "probing") == wanted
    if order is not None:
        assert "12 of kind card climb in small steps (0.0 expected)" in order.reason


def run_until(world: World, settings: Settings, done: Callable[[RegistryState], bool]) -> RegistryState:
    """Watch until the ledger says so, or for some minutes."""
    stopping, registry = Stopping(), Registry(world.ledger)

    def observe() -> None:
        for _ in range(4_000):
            if stopping.wait(0.1) or done(registry.refresh()):
                break
        stopping.set()

    observer = threading.Thread(target=observe)
    observer.start()
    try:
        Watch(settings, stopping).run()
    finally:
        stopping.set()
        observer.join()
    return world.ledger.state()


def test_a_burst_is_answered_by_a_whole_cycle_that_the_ledger_explains(world: Scoring) -> None:
    report(world, [*missed(world, 58, 20), *missed(world, 59, 20)], "new-attack")
    state = run_until(world, settings_of(world), lambda it: len(it.cycles) > 1 and not it.cycle_runs)
    _, cycle = state.cycles
    assert (cycle.trigger, cycle.emergency) == ("misses", True)
    assert cycle.reason.startswith("emergency (1 of 2 in 7d): card: ")
    assert "card" in state.guard_reports, "the guard judged before anything was trained"
    assert not state.guard_reports["card"].frozen
    assert state.version("card-3").cut_position == world.log.head()
    assert state.version("card-3").verdicts, "and the gate judged what came of it"
