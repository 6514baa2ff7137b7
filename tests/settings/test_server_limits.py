"""Limits of the server that contradict each other are refused; what is not given gives way."""

import pytest
from pydantic import ValidationError

from fraud.settings.server import Server

PAIRS = [
    ("batch_rows_max", "queue_rows_max"),
    ("batch_rows_max", "label_queue_rows_max"),
    ("label_rows_max", "label_queue_rows_max"),
]


@pytest.mark.parametrize(("rows", "queue"), PAIRS)
def test_a_call_that_no_empty_queue_takes_is_refused_with_both_names(rows: str, queue: str) -> None:
    fits = {"batch_rows_max": 1, "label_rows_max": 1, rows: 50, queue: 50}
    assert getattr(Server.model_validate(fits), rows) == 50
    with pytest.raises(
        ValidationError, match=rf"{rows}: 51 .* into {queue} = 50; raise {queue} to 51, or lower"
    ):
        Server.model_validate(fits | {rows: 51})


def test_rows_of_a_call_that_are_not_given_give_way_to_a_small_queue() -> None:
    small = Server(queue_rows_max=100, label_queue_rows_max=500)
    assert (small.batch_rows_max, small.label_rows_max) == (100, 500)
    large = Server(queue_rows_max=100_000, label_queue_rows_max=1_000_000)
    assert (large.batch_rows_max, large.label_rows_max) == (2_000, 10_000)
    with pytest.raises(ValidationError, match="queue_rows_max"):
        Server(queue_rows_max=0)
