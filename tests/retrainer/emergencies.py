"""Sixty days of a service whose champion knows both patterns, and what a watching retrainer makes of more."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fraud.clock import DAY_US
from fraud.records import Label, LabelsSubmitted, LabelValue
from fraud.retrainer import realised
from fraud.retrainer.cycle import Order, Workshop
from fraud.retrainer.daemon import next_order, open_workshop
from fraud.retrainer.watching import Monitor
from fraud.settings import Settings, load_settings
from fraud.training.history import Cut
from tests.retrainer.answering import EAGER, Scoring, answering
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


def sixty_days(place: Path, kind: type[Scoring]) -> Path:
    """A service whose champion knows both patterns."""
    opened = answering(place, kind)
    opened.pass_days(TODAY)
    conclude(opened, Order(("card",), Cut(1, 0), "by hand"), START_US + 46 * DAY_US)
    opened.close()
    return place


@contextmanager
def copied(folder: Path, copy: Path, kind: type[Scoring]) -> Iterator[Scoring]:
    """Open a copy in which emergencies are wanted, and value is looked at again without a rest."""
    shutil.copytree(folder, copy)
    opened = kind(copy)
    opened.config.write_text(opened.config.read_text().replace("\n[training.recipes.full]\n", ALERT, 1))
    with pytest.MonkeyPatch.context() as unrested:
        unrested.setattr(realised, "RESTS", 0.0)
        yield opened
    opened.close()


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
