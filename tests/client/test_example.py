"""The example of the README does what is said there, against a real scorer."""

import re
from pathlib import Path

import pytest

from fraud.client import Client
from tests.serving.worlds import serving

README = Path(__file__).parents[2] / "README.md"
LISTENS = "127.0.0.1:50051"


def test_the_example_of_the_readme_scores_reports_and_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [example for example in examples if LISTENS in example]
    # A busy machine may need more than its deadline, and an answer of `on_failure` would hide that.
    patient = code.replace("deadline_s=0.2", "deadline_s=60.0")
    with serving(tmp_path, FRAUD__SERVICE__CLOCK="wall") as process:
        exec(compile(patient.replace(LISTENS, process.target), str(README), "exec"), {})
        assert capsys.readouterr().out == "APPROVE 0.0 ['NO_CHAMPION', 'NEW_CARD', 'NEW_MERCHANT']\n"
        with Client(process.target, deadline_s=60.0) as client:
            reply = client.get_decision_with_facts("tx-2")
            assert [label.source for label in reply.labels] == ["chargeback"]
            (batch,) = client.list_batches().batches
            assert (batch.batch_id, batch.frauds) == ("2026-01-09", 1)
