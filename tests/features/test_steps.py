"""Steps from amount to amount, and small payments: what a card tester and a climber leave behind."""

import hashlib
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from fraud.features import cells, hops
from fraud.features.state import FeatureState, Rows
from tests.features.making import card_spec, read, rows_of

LADDER = {"ratio": 1.5, "within": "10s"}


def runs_of(rows: Rows) -> list[float | None]:
    state = FeatureState(card_spec(steps=LADDER))
    column = state.score(rows).features[:, state.spec.places["card_steps"]].tolist()
    return [None if math.isnan(run) else run for run in column]


def test_a_ladder_is_a_rising_run_and_a_jump_a_fall_or_a_pause_ends_it() -> None:
    assert runs_of(rows_of((0, 100), (1, 150), (2, 225), (3, 225), (4, 230))) == [0, 1, 2, 3, 4]
    assert runs_of(rows_of((0, 100), (1, 150), (2, 226), (3, 300))) == [0, 1, 0, 1]
    assert runs_of(rows_of((0, 100), (1, 150), (2, 149), (3, 149))) == [0, 1, 0, 1]
    assert runs_of(rows_of((0, 100), (10, 100), (20.000001, 100))) == [0, 1, 0]
    assert runs_of(rows_of((0, 0), (1, 0), (2, 1))) == [0, 1, 0]


def test_a_late_payment_has_no_steps_and_disturbs_none() -> None:
    assert runs_of(rows_of((5, 100), (6, 120), (4, 9_000), (6, 130))) == [0, 1, None, 2]


def test_the_amount_is_compared_with_the_one_before() -> None:
    state = FeatureState(card_spec(steps=LADDER))
    name = "card_amount_over_previous"
    assert math.isnan(read(state, name, 0))
    state.score(rows_of((1, 400), (0, 1)))
    assert read(state, name, 1, amount=300) == 0.75
    assert math.isnan(read(state, name, 0.9, amount=300))
    state.score(rows_of((2, 0)))
    assert math.isnan(read(state, name, 3, amount=300))


def test_small_payments_are_counted_up_to_the_amount_that_is_declared() -> None:
    state = FeatureState(
        card_spec(windows=[{"width": "10s", "hop": "5s"}], aggregates=["small_count"], small_amount_minor=100)
    )
    state.score(rows_of((0, 100), (1, 101), (5, 0)))
    assert [read(state, "card_small_count_10s", at) for at in (5, 14.9, 15)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("card", "remedy"),
    [
        ({"aggregates": ["small_count"]}, "small_amount_minor: small_count needs it"),
        ({"small_amount_minor": 100}, 'add "small_count" to aggregates'),
        ({"steps": {"ratio": 1.0005}}, "ratio: has more than three decimals"),
        ({"steps": {"ratio": 0.9}}, "greater than or equal to 1"),
        ({"steps": {"ratio": 10.5}}, "less than or equal to 10"),
        ({"steps": {"within": "0s"}}, "within"),
    ],
)
def test_a_wrong_declaration_names_the_field_and_the_remedy(card: dict[str, object], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        card_spec(windows=["1h"], **card)


def test_machine_code_on_disk_is_renewed_with_what_it_was_compiled_from() -> None:
    digest = hashlib.sha256(Path(cells.__file__).read_bytes()).hexdigest()[: len(hops.CELLS)]
    assert digest == hops.CELLS, f"cells.py has changed: write {digest!r} into CELLS of hops.py"
