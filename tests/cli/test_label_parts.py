"""The parts of a label batch: none is larger than a call may be, and small ones are as they always were."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.cli.label_parts import HEAD_BYTES_MAX, parts_of, row_bytes
from fraud.cli.main import run
from fraud.errors import LimitExceeded
from fraud.labels.batches import COMMENT_LENGTH_MAX, ID_LENGTH_MAX
from fraud.records import Label, LabelValue
from fraud.v1 import labels_pb2
from tests.serving.worlds import START_US, serving

BYTES = 2**12
labels = st.lists(
    st.builds(
        Label,
        st.text(min_size=1, max_size=ID_LENGTH_MAX),
        st.sampled_from([LabelValue.FRAUD, LabelValue.LEGITIMATE]),
        st.integers(1, 2**62),
        st.integers(0, COMMENT_LENGTH_MAX).map(lambda length: "x" * length),
    ),
    min_size=1,
    max_size=40,
)


def request(part: Sequence[Label], number: int = 0, ids: str = "") -> labels_pb2.SubmitLabelsRequest:
    rows = [
        labels_pb2.Label(
            transaction_id=label.transaction_id,
            value=cast("labels_pb2.LabelValue.ValueType", label.value.value),
            label_time_us=label.label_time_us,
            comment=label.comment,
        )
        for label in part
    ]
    return labels_pb2.SubmitLabelsRequest(
        batch_id=ids, part=number, source=ids[:40], submitter=ids, labels=rows
    )


@given(labels, st.integers(1, 20))
def test_parts_hold_all_labels_in_order_and_none_is_larger_than_a_call(
    given_: list[Label], rows_max: int
) -> None:
    parts = parts_of(given_, rows_max, BYTES)
    assert [label for part in parts for label in part] == given_
    for number, part in enumerate(parts):
        assert 1 <= len(part) <= rows_max
        assert request(part, 2**31 - 1, "\N{GRINNING FACE}" * ID_LENGTH_MAX).ByteSize() <= BYTES
        if number + 1 < len(parts) and len(part) < rows_max:
            fuller = sum(map(row_bytes, [*part, parts[number + 1][0]]))
            assert fuller > BYTES - HEAD_BYTES_MAX, "no part ends before it is full"


@given(labels, st.integers(1, 20))
def test_where_rows_alone_make_small_parts_they_are_those_of_earlier_releases(
    given_: list[Label], rows_max: int
) -> None:
    before = [given_[start : start + rows_max] for start in range(0, len(given_), rows_max)]
    most = max(request(part).ByteSize() for part in before)
    assert parts_of(given_, rows_max, max(most + HEAD_BYTES_MAX, BYTES)) == before


@given(labels)
def test_a_row_is_as_large_as_on_the_wire(given_: list[Label]) -> None:
    assert sum(map(row_bytes, given_)) == request(given_).ByteSize()


def test_a_label_that_no_call_holds_is_refused_by_its_place() -> None:
    short = Label("a", LabelValue.FRAUD, 1)
    with pytest.raises(LimitExceeded, match=r"label 2: takes \d+ bytes; .*server.message_bytes_max"):
        parts_of([short, Label("b", LabelValue.FRAUD, 1, "x" * BYTES)], 10, BYTES)


@pytest.mark.process
def test_a_file_with_long_comments_is_taken_and_taken_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labels.csv"
    rows = [f"t{i},FRAUD,{START_US // 10**6 * 10**6},{'long ' * 190}" for i in range(150)]
    path.write_text("\n".join(["transaction_id,value,label_time,comment", *rows]) + "\n")
    with serving(tmp_path) as process:
        arguments = ["label", "push", str(path), "--batch", "b", "--source", "analyst", "--submitter", "jane"]
        for again in (False, True):
            capsys.readouterr()
            command = ["--config", str(tmp_path / "fraud.toml"), "--output", "json", *arguments]
            assert run([*command, "--target", process.target]) == 0
            told = capsys.readouterr().out
            assert ('"waiting": 150' in told) != again
            assert ('"taken_before": 150' in told) == again
            assert '"parts": 3' in told
