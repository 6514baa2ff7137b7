"""Emergency retrains on a real log, archive and ledger: a burst starts one, a budget holds a poisoner."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.evaluation.days import day_start_us
from fraud.guard.examine import examine
from fraud.monitoring.quality import QualityRules
from fraud.records import Event, Label, LabelsSubmitted, LabelValue, Outcome, Scored
from fraud.registry.ledger import RegistryState
from fraud.registry.view import Registry
from fraud.retrainer import realised, value
from fraud.retrainer.cycle import Order, Workshop
from fraud.retrainer.daemon import Watch, next_order, open_workshop
from fraud.retrainer.guarding import flow_of
from fraud.retrainer.watching import Monitor
from fraud.settings import Settings, load_settings
from fraud.settings.guard import Guard
from fraud.stopping import Stopping
from fraud.training.history import Cut, History
from tests.retrainer.answering import CHAMPION_DAY, EAGER, Scoring, answering
from tests.retrainer.patterns import ROWS_A_DAY, START_US, World, pattern_of

TODAY = 60
VALUE = "[training.triggers.value_detection]\nfrauds_min = 20\n[training.recipes.full]\n"
ALERT = """
[training.triggers]
every = "never"
hold_down = "1h"
sources = ["customer"]
emergencies_max = 2
emergencies_within = "7d"
backoff_max = "2d"
[training.triggers.misses]
least = 10
weeks = 3
[training.recipes.full]
"""


class Desks(Scoring):
    """What was held back is told by an analyst, and only the rest by the customer."""

    def _reports(self, day: int) -> list[Event]:
        if day < 0:
            return []
        (whole,) = super()._reports(day)
        assert isinstance(whole, LabelsSubmitted)
        events = (event for event in self._traffic(day) if isinstance(event, Scored))
        held = {it.transaction_id for it in events if it.decision.outcome != Outcome.APPROVE}
        if day < CHAMPION_DAY:  # shares of the desks are always alike
            held = {it.transaction_id for i, it in enumerate(whole.labels) if i % 6}
        own = tuple(it for it in whole.labels if it.transaction_id not in held)
        desk = tuple(it for it in whole.labels if it.transaction_id in held)
        said = [replace(whole, labels=own)] if own else []
        other = replace(whole, batch_id=f"analyst-{day}", source="analyst", submitter="anna", labels=desk)
        return [*said, other] if desk else said


def sixty_days(place: Path, kind: type[Scoring]) -> Path:
    """A service whose champion knows both patterns."""
    opened = answering(place, kind)
    opened.pass_days(TODAY)
    conclude(opened, Order(("card",), Cut(1, 0), "by hand"), START_US + 46 * DAY_US)
    opened.close()
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sixty_days(tmp_path_factory.mktemp("reacting"), Scoring)


@pytest.fixture(scope="module")
def folder_of_desks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sixty_days(tmp_path_factory.mktemp("desks"), Desks)


@contextmanager
def copied(folder: Path, copy: Path, kind: type[Scoring]) -> Iterator[Scoring]:
    shutil.copytree(folder, copy)
    opened = kind(copy)
    opened.config.write_text(opened.config.read_text().replace("\n[training.recipes.full]\n", ALERT, 1))
    yield opened
    opened.close()


@pytest.fixture
def world(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    monkeypatch.setattr(realised, "RESTS", 0.0)
    with copied(folder, tmp_path / "world", Scoring) as opened:
        yield opened


@pytest.fixture
def desks(folder_of_desks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    monkeypatch.setattr(realised, "RESTS", 0.0)
    with copied(folder_of_desks, tmp_path / "desks", Desks) as opened:
        yield opened


def settings_of(world: World, **environment: str) -> Settings:
    return load_settings(world.config, {**EAGER, **environment})


def look(world: World, shop: Workshop, monitor: Monitor) -> Order | None:
    """One turn of the watching process up to what is due."""
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    with shop.archive.reading():
        monitor.turn()
    monitor.observe()
    return next_order(shop, monitor)


def opened(world: World, **environment: str) -> tuple[Workshop, Monitor]:
    shop = open_workshop(settings_of(world, **environment))
    return shop, Monitor(shop)


def missed(world: World, day: int, rows: int, merchants: int = ROWS_A_DAY) -> list[str]:
    """Honest payments of a day, approved by the champion, that somebody calls frauds."""
    del world
    wanted = [row for row in range(ROWS_A_DAY) if not pattern_of(day, row) and row % 100 != 99]
    return [f"d{day}-{row}" for row in wanted if row < merchants][:rows]


def report(
    world: World, ids: list[str], name: str, source: str = "customer", submitter: str = "bank"
) -> None:
    """Labels that come now, in batches no larger than usual ones."""
    now_us = world.log.last_arrival_us() + 1
    for start in range(0, len(ids), 10):
        labels = tuple(Label(each, LabelValue.FRAUD, now_us) for each in ids[start : start + 10])
        batch = f"{name}-{start}"
        event = LabelsSubmitted(batch, 0, source, submitter, labels, batch)
        world.log.append([event], now_us, [])


def shown(shop: Workshop, name: str, **labels: str) -> float | None:
    return shop.metrics.registry.get_sample_value(name, labels)


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


def conclude(world: Scoring, order: Order, now_us: int, ended: str = "finished") -> None:
    """What a cycle without a promotion leaves in the ledger, also one that died, failed or was frozen."""
    body: dict[str, Any] = {
        "request_seq": None,
        "models": list(order.models),
        "cut_position": order.cut.position,
    }
    signed: dict[str, Any] = {"actor": "t", "reason": order.reason, "time_us": now_us}
    world.ledger.append("CycleStarted", {**body, "trigger": order.trigger}, **signed)
    frozen = [{"model": it, "verdict": "FROZEN"} for it in order.models if ended == "frozen"]
    if ended == "failed":
        world.ledger.append("CycleFailed", {"request_seq": None, "error": "worker lost"}, **signed)
    elif ended != "died":
        body = {"request_seq": None, "verdicts": frozen, "seconds": 1.0}
        world.ledger.append("CycleFinished", body, **signed)


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


def test_who_gave_few_before_is_left_out_alone_and_together_whatever_he_says(world: Scoring) -> None:
    settings = settings_of(world)
    rules = QualityRules.of(settings, world.log.last_arrival_us())
    newest_us = day_start_us(rules.last_day + 1 - min(rules.windows), rules.zone)
    let_through = {"bank": (60, 1), "jane": (20, 9), "joe": (25, 8), "eve": (15, 7), "new": (0, 5)}
    # Who speaks of what was held back is not held against the bank.
    desk = {"anna": (900, 1), "ben": (100, 2)}
    frames = []
    for place, (submitter, (past, amount)) in enumerate((let_through | desk).items()):
        # What they say of the newest payments is that they are honest.
        verdicts = [True] * past + [False]
        frames.append(
            pl.DataFrame(
                {
                    "label_position": [10**9 + place] * len(verdicts),
                    "submitter": submitter,
                    "is_fraud": verdicts,
                    "event_time_us": [newest_us - 1] * past + [newest_us + 1],
                    "amount_base_minor": [1] * past + [amount],
                    "outcome": int(Outcome.REVIEW if submitter in desk else Outcome.APPROVE),
                    "explored": False,
                }
            )
        )
    told = pl.concat(frames)
    givers = told.select("submitter", position="label_position").lazy()
    history = cast(History, SimpleNamespace(settings=settings, labels=lambda: givers))
    groups = list(value._minor_submitters(told.drop("submitter"), history, rules))
    assert groups == [("jane",), ("joe",), ("eve",), ("new",), ("jane", "joe", "new"), ("ben",)]


def dear_frauds(world: Scoring, submitter: str) -> None:
    """Large frauds that the champion takes for honest, in all of the week that matures next."""
    for day in range(TODAY, TODAY + 11):
        ids = missed(world, day, 12)
        end_us = START_US + (day + 1) * DAY_US
        world.log.append([*costly(world, day, set(ids)), *world._reports(day - 3)], end_us, [])
        world.days = day + 1
        report(world, ids, f"value-{day}", submitter=submitter)


@pytest.mark.parametrize("submitter", ["bank", "mallory"])
def test_value_that_is_found_no_more_is_an_emergency_unless_one_stranger_says_so(
    world: Scoring, submitter: str
) -> None:
    world.config.write_text(world.config.read_text().replace("[training.recipes.full]\n", VALUE, 1))
    shop, monitor = opened(world)
    assert look(world, shop, monitor) is None
    lost = shown(shop, "fraud_value_detection_lost_share", model="card")
    assert lost is not None
    assert lost < 0.05
    dear_frauds(world, submitter)
    order = look(world, shop, monitor)
    lost = shown(shop, "fraud_value_detection_lost_share", model="card")
    assert lost is not None
    assert lost > 0.1
    found = {alarm.trigger: alarm.reason for alarm in monitor.alarms()}
    assert ("value_detection" in found) == (submitter == "bank")
    if submitter == "bank":
        assert "of the fraud value is found" in found["value_detection"]
        assert order is not None


def test_a_desk_that_the_trigger_does_not_trust_still_tells_what_was_found(desks: Scoring) -> None:
    """Nobody charges back what was held back, so the customer alone would have found nothing ever."""
    desks.config.write_text(desks.config.read_text().replace("[training.recipes.full]\n", VALUE, 1))
    shop, monitor = opened(desks)
    assert look(desks, shop, monitor) is None
    dear_frauds(desks, "bank")
    assert look(desks, shop, monitor) is not None
    found = {alarm.trigger: alarm.reason for alarm in monitor.alarms()}
    assert "of the fraud value is found" in found["value_detection"]


def test_a_burst_that_moves_shares_of_the_frauds_is_not_silenced_by_it(desks: Scoring) -> None:
    shop, monitor = opened(desks)
    assert look(desks, shop, monitor) is None
    report(desks, [*missed(desks, 58, 30), *missed(desks, 59, 30)], "new-attack")
    order = look(desks, shop, monitor)
    state = shop.state()
    found = {it.check for it in examine(flow_of(shop.history(shop.cut(), state.view()), "card"), Guard())}
    assert {"source_share", "submitter_share"} <= found, "where the champion is blind, desks fall silent"
    assert order is not None
    assert order.trigger == "misses"


def costly(world: Scoring, day: int, ids: set[str]) -> list[Scored]:
    """A day's traffic in which some payments are dear, and the model does not see it."""
    events = [event for event in world._traffic(day) if isinstance(event, Scored)]
    return [
        replace(event, amount_base_minor=500_000, decision=replace(event.decision, outcome=Outcome.APPROVE))
        if event.transaction_id in ids
        else event
        for event in events
    ]
