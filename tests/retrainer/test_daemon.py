"""What the watching retrainer does next: requests in order, one that kills the process given up."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import structlog.testing

from fraud.clock import DAY_US
from fraud.eventlog import SqliteEventLog
from fraud.monitoring.retrainer_metrics import PARTS
from fraud.registry.cycles import deaths_of, trained_us
from fraud.retrainer import daemon
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import DEATHS_MAX, Watch, await_log, give_up, next_order, open_workshop
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from fraud.stopping import Stopping
from tests.retrainer.answering import shown
from tests.retrainer.patterns import CONFIG, START_US, World
from tests.waiting import wait_until

CUT_US = START_US + DAY_US


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(1)
    yield opened
    opened.close()


@pytest.fixture
def shop(world: World) -> Workshop:
    return open_workshop(load_settings(world.config, {}))


def add(world: World, kind: str, body: dict[str, Any], time_us: int = CUT_US) -> int:
    return world.ledger.append(kind, body, actor="test", reason="", time_us=time_us).seq


def asked(world: World, **body: object) -> int:
    """Ask for a retrain; return the entry."""
    given = {"model": "card", "cut_position": 1, "cut_time_us": CUT_US, "trigger": "by hand"}
    return add(world, "RetrainRequested", {**given, **body})


def died(world: World, request: int, times: int) -> None:
    """Start cycles of a request that nothing follows."""
    for _ in range(times):
        add(world, "CycleStarted", {"request_seq": request, "models": ["card"]})


@pytest.mark.parametrize(("times", "given_up"), [(DEATHS_MAX - 1, False), (DEATHS_MAX, True)])
def test_a_request_whose_cycles_died_too_often_is_given_up(
    world: World, shop: Workshop, times: int, given_up: bool
) -> None:
    deadly, other = asked(world, exclusion=7), asked(world)
    died(world, deadly, times)
    give_up(shop)
    order = next_order(shop, Monitor(shop))
    assert order is not None
    assert order.request_seq == (other if given_up else deadly)
    request = shop.state().request(deadly)
    assert request.state == ("FAILED" if given_up else "RUNNING")
    if given_up:
        assert "died 3 times" in request.error
        assert "training.cpus" in request.error
        assert (request.exclusion, request.finished_us > 0) == (7, True)
    give_up(shop)
    kinds = [it.kind for it in world.ledger.read()]
    assert kinds.count("CycleFailed") == given_up, "once is enough"


def test_deaths_are_counted_by_request_and_what_ended_is_none(world: World, shop: Workshop) -> None:
    first, second = asked(world), asked(world)
    died(world, first, DEATHS_MAX - 1)
    died(world, second, DEATHS_MAX - 1)
    add(world, "CycleStarted", {"request_seq": None, "models": ["card"]})
    cycles = shop.state().cycles
    assert [deaths_of(cycles, seq) for seq in (first, second)] == [DEATHS_MAX - 1] * 2
    died(world, first, 1)
    add(world, "CycleFinished", {"request_seq": first, "verdicts": [], "seconds": 1.0})
    give_up(shop)
    assert [shop.state().request(seq).state for seq in (first, second)] == ["FINISHED", "RUNNING"]


def test_a_cycle_has_learned_up_to_the_cut_of_its_request(world: World, shop: Workshop) -> None:
    request = asked(world)
    first_us, later_us = CUT_US + DAY_US, CUT_US + 9 * DAY_US
    for seq, time_us in ((None, first_us), (request, later_us)):
        add(world, "CycleStarted", {"request_seq": seq, "models": ["card"]}, time_us)
        add(world, "CycleFinished", {"request_seq": seq, "verdicts": [], "seconds": 1.0}, time_us)
    cycles = shop.state().cycles
    assert [(it.time_us, it.cut_us) for it in cycles] == [(first_us, first_us), (later_us, CUT_US)]
    assert trained_us(cycles, "card") == CUT_US


def test_an_order_of_every_model_names_them(world: World, shop: Workshop) -> None:
    asked(world, model="")
    order = next_order(shop, Monitor(shop))
    assert order is not None
    assert order.models == ("card", "transfer")


class Turns(Stopping):
    """Says stop at the end of the given turns, and notes how long each was waited for."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._turns = turns

    def wait(self, timeout: float) -> bool:
        self.waited.append(timeout)
        return len(self.waited) > self._turns


def test_what_fails_is_tried_again_after_a_pause_that_grows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = Turns(turns=7)
    watch = Watch(load_settings(world.config, {}), stopping)
    outcomes = iter([True, False, False, False, False, False, True])
    monkeypatch.setattr(watch, "_turn", lambda _: next(outcomes))
    watch.run()
    assert stopping.waited == [0.1, 0.1, 1.0, 2.0, 4.0, 8.0, 10.0, 0.1]


def test_a_copy_that_fails_is_counted_and_only_what_needs_it_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(world.config, {})
    watch, pool = Watch(settings, Stopping()), daemon._Pool(settings)
    shop = watch._shop
    held = shop.copy()
    shop.metrics.archive_position.set(0)
    world.pass_days(2)
    judged: list[str] = []
    monkeypatch.setattr(watch._probations, "turn", lambda: judged.append("probations"))
    monkeypatch.setattr(daemon, "next_order", lambda *_: None)

    def failing(*_: object, **__: object) -> int:
        raise OSError(28, "no space left on device")

    def took(part: str) -> bool:
        return not math.isnan(shown(shop, "fraud_monitoring_seconds", model="", part=part))

    def failures() -> dict[str, float]:
        counts = {it: shown(shop, "fraud_monitoring_failures_total", model="", part=it) for it in PARTS}
        return {part: count for part, count in counts.items() if count}

    with monkeypatch.context() as broken:
        broken.setattr(shop.archive, "copy_from", failing)
        assert not watch._turn(pool)
    assert failures() == {"archive": 1}
    assert shown(shop, "fraud_archive_position", model="") == held
    assert shown(shop, "fraud_archive_lag_events", model="") == shop.log.head() - held > 0
    assert (took("quality"), took("traffic"), took("feeds"), judged) == (True, True, False, [])
    watch._archived_at = -math.inf
    assert watch._turn(pool)
    assert failures() == {"archive": 1}
    assert (took("feeds"), judged) == (True, ["probations"])
    assert shown(shop, "fraud_archive_lag_events", model="") == 0


def test_a_ray_that_has_lost_a_task_is_started_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []

    class Pool:
        suspect = False

        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            ended.append(self)
            raise RuntimeError("it does not end in order either")

    monkeypatch.setattr(daemon, "TrainingPool", Pool)
    pool = daemon._Pool(load_settings(world.config, {}))
    first: Any = pool.open()
    pool.look_after()
    assert pool.open() is first
    first.suspect = True
    pool.look_after()
    assert ended == [first]
    assert pool.open() is not first


def test_a_cycle_that_is_stopped_however_often_is_no_failure_and_its_request_goes_on_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, record = load_settings(world.config, {}), Workshop.record
    request = asked(world)

    def stopped_at_once(shop: Workshop, kind: str, body: dict[str, Any], reason: str) -> int:
        shop.stopping.set()
        return record(shop, kind, body, reason)

    monkeypatch.setattr(Workshop, "record", stopped_at_once)
    for _ in range(DEATHS_MAX):
        watch = Watch(settings, Stopping())
        assert watch._turn(daemon._Pool(settings)), "nothing to pause for"
        kinds = [it.kind for it in world.ledger.read()]
        assert kinds[-2:] == ["CycleStarted", "CycleFailed"]
    head = world.ledger.head()
    assert watch._turn(daemon._Pool(settings))
    assert world.ledger.head() == head, "told to stop, it starts none"
    shop = watch._shop
    give_up(shop)
    order = next_order(shop, Monitor(shop))
    assert order is not None
    assert (order.request_seq, shop.state().request(request).state) == (request, "WAITING")
    assert shown(shop, "fraud_retrain_running", model="") == 0
    assert shown(shop, "fraud_retrains_total", result="failed") == 0


@pytest.mark.parametrize("unfinished", [False, True])
def test_watching_begins_when_the_scorer_has_made_the_log(tmp_path: Path, unfinished: bool) -> None:
    (tmp_path / "fraud.toml").write_text(CONFIG)
    settings = load_settings(tmp_path / "fraud.toml", {})
    log = settings.places.log
    log.parent.mkdir()
    if unfinished:
        log.touch()
    stopping = Stopping()
    waiting = threading.Thread(target=await_log, args=(settings, stopping))
    reason = "being made by its writer" if unfinished else "no event log yet"
    with structlog.testing.capture_logs() as said:
        waiting.start()
        wait_until(lambda: said)
        SqliteEventLog.open(log, writable=True, entity_names=settings.schema_.entity_names).close()
        waiting.join(180)
    assert not waiting.is_alive()
    assert [reason in str(it["why"]) for it in said].count(True) == 1, "once, however long it waits"
    stopping.set()
    assert not await_log(settings, stopping)
