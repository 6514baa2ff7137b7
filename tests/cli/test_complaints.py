"""What is said of an error, and whether it asks for a service that runs."""

import pytest

from fraud.cli.complaints import document_of, line_of
from fraud.errors import Unavailable
from fraud.serving.scorer import RESTORING

DRAINING = "the scorer is draining; send to another one, or again after its restart"


@pytest.mark.parametrize("says", [RESTORING, DRAINING])
def test_a_scorer_that_answers_is_not_asked_for(says: str) -> None:
    assert line_of(Unavailable(says)) == f"fraud: {says}"
    assert "remedy" not in document_of(Unavailable(says))


def test_one_that_does_not_answer_is_asked_for() -> None:
    error = Unavailable("127.0.0.1:50051: UNAVAILABLE: failed to connect")
    assert line_of(error).endswith("; is 'fraud up' running? see 'fraud doctor'")
    assert document_of(error)["remedy"] == "is 'fraud up' running? see 'fraud doctor'"
