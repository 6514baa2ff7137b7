"""Emergency retrains because value is found no more, and whose word tells that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.guard.examine import examine
from fraud.records import Event, LabelsSubmitted, Outcome, Scored
from fraud.retrainer import value
from fraud.retrainer.guarding import flow_of
from fraud.settings.guard import Guard
from fraud.training.history import History
from tests.retrainer.answering import CHAMPION_DAY, Scoring
from tests.retrainer.emergencies import (
    TODAY,
    VALUE,
    copied,
    look,
    missed,
    opened,
    report,
    shown,
    sixty_days,
)
from tests.retrainer.patterns import START_US


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
        said: list[Event] = [replace(whole, labels=own)] if own else []
        other = replace(whole, batch_id=f"analyst-{day}", source="analyst", submitter="anna", labels=desk)
        return [*said, other] if desk else said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sixty_days(tmp_path_factory.mktemp("value"), Scoring)


@pytest.fixture(scope="module")
def folder_of_desks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sixty_days(tmp_path_factory.mktemp("desks"), Desks)


@pytest.fixture
def world(folder: Path, tmp_path: Path) -> Iterator[Scoring]:
    with copied(folder, tmp_path / "world", Scoring) as opened:
        yield opened


@pytest.fixture
def desks(folder_of_desks: Path, tmp_path: Path) -> Iterator[Scoring]:
    with copied(folder_of_desks, tmp_path / "desks", Desks) as opened:
        yield opened


def test_who_gave_few_before_is_left_out_alone_and_together_whatever_he_says() -> None:
    let_through = {"bank": (60, 1), "jane": (20, 9), "joe": (25, 8), "eve": (15, 7), "new": (0, 5)}
    # Who speaks of what was held back is not held against the bank.
    desk = {"anna": (900, 1), "ben": (100, 2)}
    frames = [
        pl.DataFrame(
            {
                "submitter": submitter,
                # What they say of the newest payments is that they are honest.
                "is_fraud": [True] * past + [False],
                "before": [True] * past + [False],
                "amount_base_minor": [1] * past + [amount],
                "outcome": int(Outcome.REVIEW if submitter in desk else Outcome.APPROVE),
                "explored": False,
            }
        )
        for submitter, (past, amount) in (let_through | desk).items()
    ]
    # Whose word is not believed, and who says nothing, is not among them.
    unheard = frames[0].with_columns(submitter=pl.lit("mallory"), is_fraud=pl.lit(None, pl.Boolean))
    silent = frames[0].with_columns(submitter=pl.lit(None, pl.String))
    groups = list(value.minor_submitters(pl.concat([*frames, unheard, silent]), 0.5))
    assert groups == [
        *((False, it) for it in (("joe",), ("jane",), ("eve",), ("new",), ("joe", "jane", "new"))),
        (True, ("ben",)),
    ]


def test_what_is_told_late_of_payments_that_were_held_back_makes_nobody_a_past() -> None:
    newest_us = 1_000
    approve, review = int(Outcome.APPROVE), int(Outcome.REVIEW)
    rows = pl.DataFrame(
        {
            "label_position": [1, 2, 2, 1, 2, None],
            "event_time_us": [900, 900, 900, 1_000, 900, 900],
            "outcome": [review, review, approve, approve, review, review],
            "explored": [False, False, False, False, True, False],
        }
    )
    labels = pl.LazyFrame(
        {
            "position": [1, 2, 2],
            "submitter": ["anna", "mallory", "mallory"],
            "arrival_time_us": [999, 1_000, 1_000],
        }
    )
    told = value._with_submitters(rows, cast(History, SimpleNamespace(labels=lambda: labels)), newest_us)
    assert told["submitter"].to_list() == ["anna", "mallory", "mallory", "anna", "mallory", None]
    assert told["before"].to_list() == [True, False, True, False, True, False]


def dear_frauds(world: Scoring, submitter: str) -> None:
    """Large frauds that the champion takes for honest, in all of the week that matures next."""
    for day in range(TODAY, TODAY + 11):
        ids = missed(world, day, 12)
        end_us = START_US + (day + 1) * DAY_US
        world.log.append([*costly(world, day, set(ids)), *world._reports(day - 3)], end_us, [])
        world.days = day + 1
        report(world, ids, f"value-{day}", submitter=submitter)


def costly(world: Scoring, day: int, ids: set[str]) -> list[Scored]:
    """A day's traffic in which some payments are dear, and the model does not see it."""
    events = [event for event in world._traffic(day) if isinstance(event, Scored)]
    return [
        replace(event, amount_base_minor=500_000, decision=replace(event.decision, outcome=Outcome.APPROVE))
        if event.transaction_id in ids
        else event
        for event in events
    ]


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
