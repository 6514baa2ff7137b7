import pytest

from fraud.errors import InvalidInput, NotFound
from fraud.report.comparison_page import read_comparison, render_comparison
from fraud.report.folder import Folder
from fraud.settings import load_settings
from tests.report.made import judged
from tests.report.pages import Page, check_self_contained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    world = judged(tmp_path_factory.mktemp("judged"))
    world.close()
    return Folder.open(world.settings)


def test_both_versions_stand_side_by_side_on_the_same_rows(folder: Folder) -> None:
    made = read_comparison(folder, "card-2", "card-1")
    text = render_comparison(folder, made)
    page = Page(text)
    check_self_contained(text, page)
    assert set(page.plots) == {"precision-recall", "calibration", "money", "scores", "reasons"}
    for side in made.versions:
        assert page.plots["precision-recall"].curves[f"precision-recall-{side}"].count("L") > 5
    rows = page.rows("data-figure")
    assert [(row["data-figure"], row["data-of"]) for row in rows] == [
        (figure, of) for figure in ("average_precision", "recall") for of in (*made.versions, "difference")
    ]
    values = [float(row["data-value"]) for row in rows]
    assert values[2] == pytest.approx(values[0] - values[1])
    assert made.difference is not None
    assert made.difference.average_precision.low <= values[2] <= made.difference.average_precision.high


def test_the_other_way_round_the_difference_is_the_opposite(folder: Folder) -> None:
    one, other = (
        read_comparison(folder, *pair).difference for pair in (("card-2", "card-1"), ("card-1", "card-2"))
    )
    assert one is not None
    assert other is not None
    assert one.average_precision.value == -other.average_precision.value
    assert one.average_precision.low == pytest.approx(-other.average_precision.high)


def test_without_matured_days_the_page_says_so_and_draws_the_rest(folder: Folder) -> None:
    config = folder.settings.data_dir.parent / "fraud.toml"
    early = Folder.open(load_settings(config, {"FRAUD__LABELS__MATURITY": "60d"}))
    made = read_comparison(early, "card-3", "card-2")
    page = Page(render_comparison(early, made))
    assert (made.evidence, made.difference) == (None, None)
    assert any("no evidence for both alike yet" in told for told in page.texts)
    assert set(page.plots) == {"scores", "reasons"}


def test_what_cannot_be_compared_is_refused(folder: Folder) -> None:
    with pytest.raises(InvalidInput, match="name two versions of one model"):
        read_comparison(folder, "card-1", "card-1")
    with pytest.raises(NotFound, match="'card-9' is not in the ledger"):
        read_comparison(folder, "card-1", "card-9")
