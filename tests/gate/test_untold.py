"""Whole worlds: reviews and challenges that leave no label favour neither side."""

import math
from dataclasses import replace

import polars as pl
import pytest

from tests.gate.simulated import EQUAL, lean, promoted
from tests.gate.worlds import World

HELD = replace(EQUAL, challenge_share=0.05)
FAILED, HALF, HASTY = (0.95, 0.05), (0.5, 0.0), (0.3, 0.3)
"""Shares of frauds and of honest payments that leave no label: challenges, weak ones, a desk in a hurry."""
READ = replace(EQUAL, review_share=0.03, challenge_share=0.03, untold=FAILED)
"""Every review has its verdict, and failed challenges leave no trace."""
LEFT = replace(EQUAL, review_share=0.03, unreviewed=FAILED, challenge_share=0.03)
"""The other way round: what is reviewed is given up, and challenges hide nothing."""


def calibrated(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """Turn scores into probabilities of fraud; no order changes."""

    def score(side: str, noise: float) -> pl.Expr:
        shown = (pl.col(side) / (1 - pl.col(side))).log() + 4
        odds = math.log(world.fraud_share / (1 - world.fraud_share)) + (2 * shown - 2) / noise**2
        return (1 / (1 + (-odds).exp())).alias(side)

    return frame.with_columns(
        score("champion_score", world.champion_noise), score("challenger_score", world.challenger_noise)
    )


def calibrated_on_told(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """Calibrate as a model is that learned from what got a label behind challenges: far too few frauds."""
    fraud, honest = (1 - share for share in world.untold)

    def lowered(side: str) -> pl.Expr:
        odds = pl.col(side) / (1 - pl.col(side)) * (fraud / honest)
        return (odds / (1 + odds)).alias(side)

    return calibrated(world, frame).with_columns(lowered("champion_score"), lowered("challenger_score"))


def unreported(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """The same, and nobody reports that a challenge was failed."""
    return calibrated_on_told(world, frame).drop("failed_challenge")


def untold_dropped(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out what was challenged and has no label, and say nothing of it."""
    return calibrated(world, frame).filter(pl.col("is_fraud").is_not_null())


@pytest.mark.parametrize("untold", [FAILED, HALF, HASTY])
def test_challenges_without_a_label_do_not_favour_an_equal_challenger(untold: tuple[float, float]) -> None:
    world = replace(HELD, untold=untold)
    assert promoted(world, calibrated) <= 0.05


def test_failed_challenges_say_what_scores_that_were_calibrated_behind_them_cannot() -> None:
    world = replace(HELD, untold=FAILED)
    assert promoted(world, calibrated_on_told) <= 0.05
    assert promoted(world, unreported) >= 0.3


def test_challenges_without_a_label_do_not_favour_a_worse_challenger() -> None:
    world = replace(HELD, untold=FAILED, challenger_noise=1.3, decline_share=0.01, explored_share=0.1)
    assert promoted(world, calibrated) <= 0.05


def test_a_better_challenger_is_still_seen_behind_reviews_without_a_verdict() -> None:
    world = replace(HELD, untold=HASTY, challenger_noise=0.6)
    assert promoted(world, calibrated) >= 0.95


@pytest.mark.parametrize("world", [READ, LEFT])
def test_each_outcome_is_mirrored_so_that_neither_side_gains(world: World) -> None:
    """With one rate for both the champion would win 2,409 to 2,214 where every review is read."""
    assert abs(lean(world, calibrated)) <= 2


@pytest.mark.parametrize("world", [READ, LEFT])
@pytest.mark.parametrize("noise", [1.0, 1.3])
def test_each_outcome_is_mirrored_at_the_rate_of_its_own_labels(world: World, noise: float) -> None:
    world = replace(world, challenger_noise=noise)
    assert promoted(world, calibrated) <= 0.05


def test_a_better_challenger_is_still_seen_where_analysts_read_every_review() -> None:
    world = replace(READ, challenger_noise=0.6)
    assert promoted(world, calibrated) >= 0.9


def test_challenges_that_vanish_would_promote_equal_challengers() -> None:
    world = replace(HELD, untold=FAILED)
    assert promoted(world, untold_dropped) >= 0.5
