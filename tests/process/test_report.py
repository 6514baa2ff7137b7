"""`fraud report` on the folder of a service that retrained twice and had data cut out since."""

import json
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.v1.models_pb2 import Selection
from tests.process.polluted import BAD, copy, in_force, shared
from tests.report.pages import Page, check_self_contained
from tests.serving.worlds import serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = copy(shared(tmp_path_factory), tmp_path_factory.mktemp("made"))
    with serving(made) as process, process.client() as client:
        selection = Selection(batch_id=BAD)
        seq = client.exclude(selection, actor="ann", reason="a bad export", no_retrain=True).exclusion_seq
        wait_until(lambda: in_force(client, seq), "the exclusion in force")
        process.stop()
    return made


def report(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, Page]:
    path = folder / "page.html"
    capsys.readouterr()
    config = str(folder / "fraud.toml")
    status = run(["--config", config, "--output", "json", "report", *arguments, "--out", str(path)])
    told = capsys.readouterr()
    assert status == 0, told.err
    text = path.read_text()
    page = Page(text)
    check_self_contained(text, page)
    return json.loads(told.out), page


@pytest.mark.parametrize("version", ["card-1", "card-2"])
def test_figures_of_real_cycles_come_out_again_although_data_was_excluded_since(
    folder: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    document, page = report(folder, capsys, version)
    assert document["problems"] == []
    precision = [it for it in document["figures"] if it["figure"] == "average_precision_challenger"]
    assert precision[0]["ledger"] == precision[0]["recomputed"]
    assert page.plots["precision-recall"].curves[f"precision-recall-{version}"]
    tainted = any("Tainted: it learned from labels of batch bad" in told for told in page.texts)
    assert tainted == (version == "card-2")


def test_both_versions_are_compared_without_the_excluded_labels(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, page = report(folder, capsys, "--compare", "card-1", "card-2")
    assert set(document["figures"]) == {"card-1", "card-2", "difference"}
    assert {"precision-recall", "scores"} <= set(page.plots)
