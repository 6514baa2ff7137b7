"""Recoverable evasions: what leaves a trace is caught, by what was learned from other cards alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.attacks.campaign import Result
from fraud.records import MISSING_SURROGATE
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.recoverable import recoverable
from tests.attacks.worlds import START_US, World, attack

CARDS, EACH = 12, 4
FIRST = 1_000
"""Numbers from here on are of no card in the world."""


@pytest.fixture(scope="module")
def rows(world: World) -> TrainingSet:
    return training_rows(world.history, "card")


@pytest.fixture(scope="module")
def evaded(world: World) -> list[Result]:
    (results,) = attack(world, world.frauds(90), [world.target], world.allowed, black_box=False)
    return [result for result in results if result.white is not None]


def looking_like(result: Result, features: NDArray[np.float32], card: int | None = None) -> Result:
    """The result with an evasion of one payment with these features, by `web`, on another card."""
    assert result.white is not None
    (payment, *_) = result.white.payments
    white = replace(result.white, features=features[None], payments=(replace(payment, words=("web",)),))
    fraud = result.fraud
    if card is not None:
        surrogates = (card, *fraud.payment.surrogates[1:])
        fraud = replace(fraud, payment=replace(fraud.payment, surrogates=surrogates))
    return replace(result, fraud=fraud, white=white)


def honest(rows: TrainingSet, count: int) -> NDArray[np.float32]:
    """Features of so many honest payments by `web`, spread over the log; float32[count, f]."""
    web = np.flatnonzero((rows.label == 0) & (rows.codes[:, 0] == rows.words[0].index("web")))
    return rows.features[web[np.linspace(0, len(web) - 1, count).astype(np.intp)]]


def share_of(world: World, rows: TrainingSet, results: Sequence[Result]) -> float:
    return float(recoverable(results, world.target, rows, START_US, seed=7).mean())


def test_what_leaves_a_trace_is_recoverable_and_what_leaves_none_is_not(
    world: World, rows: TrainingSet, evaded: list[Result]
) -> None:
    assert len(evaded) > 10
    features = honest(rows, len(evaded))
    blank = [looking_like(result, row) for result, row in zip(evaded, features, strict=True)]
    traced = features.copy()
    traced[:, world.spec.places["card_count_1h"]] = 77
    marked = [looking_like(result, row) for result, row in zip(evaded, traced, strict=True)]
    assert share_of(world, rows, marked) > 0.9
    assert share_of(world, rows, blank) < 0.4


def test_every_row_knows_its_card(world: World, rows: TrainingSet) -> None:
    logged = world.history.transactions("card").select("position", "entity_card").collect().sort("position")
    own = logged.filter(logged["position"].is_in(rows.position.tolist()))
    assert rows.card.tolist() == own["entity_card"].fill_null(MISSING_SURROGATE).to_list()
    assert len(np.unique(rows.card)) == 200


def test_what_other_evasions_of_the_card_taught_does_not_count(
    world: World, rows: TrainingSet, evaded: list[Result]
) -> None:
    assert len(evaded) >= CARDS * EACH
    traces = honest(rows, CARDS)
    own, others = [], []
    for place, result in enumerate(evaded[: CARDS * EACH]):
        own.append(looking_like(result, traces[place % CARDS], FIRST + place % CARDS))
        others.append(looking_like(result, traces[place % CARDS], FIRST + place))
    assert share_of(world, rows, own) < 0.2
    assert share_of(world, rows, others) > 0.8, "the same payments, each of a card of its own"


def test_what_logged_frauds_of_the_card_taught_does_not_count(
    world: World, rows: TrainingSet, evaded: list[Result]
) -> None:
    traces = honest(rows, CARDS)
    attacks = [
        looking_like(result, trace, FIRST + place)
        for place, (result, trace) in enumerate(zip(evaded, traces, strict=False))
    ]
    frauds = np.flatnonzero(rows.label == 1)
    of = np.arange(len(frauds)) % CARDS
    features, codes, card = rows.features.copy(), rows.codes.copy(), rows.card.copy()
    features[frauds], codes[frauds] = traces[of], rows.words[0].index("web")
    others = replace(rows, features=features, codes=codes)
    card[frauds] = FIRST + of
    own = replace(others, card=card)
    assert share_of(world, own, attacks) < 0.2
    assert share_of(world, others, attacks) > 0.8, "the same payments, of other cards"
