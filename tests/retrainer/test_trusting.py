"""Whose labels may move a trigger: not those that the guard finds odd."""

import pytest

from fraud.guard.finding import CHECKS, Finding
from fraud.labels.exclusions import Exclusion
from fraud.retrainer.trusting import ODD, Trust

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
