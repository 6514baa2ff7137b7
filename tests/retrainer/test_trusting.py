"""Whose labels may move a trigger: not those that the guard finds odd."""

import pytest

from fraud.guard.finding import CHECKS, Finding
from fraud.labels.exclusions import Exclusion
from fraud.retrainer.trusting import ODD, SHARES, Trust

OF_THE_WHOLE = {
    *("silence", "outcomes", "fraud_rate", "entity_share"),
    *("traffic", "missing_values", "near_certain"),
}
"""Checks that do not tell who gave odd labels."""


def test_of_every_check_it_is_said_whether_it_tells_who_gave_odd_labels() -> None:
    assert OF_THE_WHOLE | set(ODD) == set(CHECKS)
    assert not OF_THE_WHOLE & set(ODD)


@pytest.mark.parametrize("check", ODD)
def test_labels_that_are_found_odd_move_no_trigger(check: str) -> None:
    suspect = Exclusion("labels", source="chargeback", submitter="mob")
    finding = Finding(check, "mob", 0.5, 0.3, "nobody believes it", "freeze", suspect)
    assert Trust.of(("chargeback",), None, [finding]).odd == (suspect,)


@pytest.mark.parametrize("check", sorted(SHARES))
def test_a_share_that_rises_is_not_odd_of_who_always_gave_most(check: str) -> None:
    suspect = Exclusion("labels", source="chargeback")
    finding = Finding(check, "chargeback", 0.5, 0.3, "gave more", "freeze", suspect)
    for usual, odd in ({(check, "chargeback")}, ()), ({(check, "analyst")}, (suspect,)):
        assert Trust.of(("chargeback",), None, [finding], usual).odd == odd
