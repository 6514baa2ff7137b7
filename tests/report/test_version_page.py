import shutil
from pathlib import Path
from typing import Any

import pytest

from fraud.errors import NotFound
from fraud.registry.store import LedgerStore
from fraud.report.folder import Folder
from fraud.report.version_page import read_version, render_version
from fraud.settings import load_settings
from tests.report.made import judged
from tests.report.pages import Page, check_self_contained

PLOTS = {"precision-recall", "calibration", "money", "scores", "reasons", "trade"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    world = judged(tmp_path_factory.mktemp("judged"))
    world.close()
    return Folder.open(world.settings)


@pytest.fixture(scope="module")
def text(folder: Folder) -> str:
    return render_version(folder, read_version(folder, "card-2"))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def ledger_checks(folder: Folder, version: str) -> dict[str, Any]:
    report = folder.state.version(version).verdicts[-1].report
    return {check["name"]: check for check in report["checks"]}


def test_the_page_refers_to_nothing_outside_of_itself(text: str, page: Page) -> None:
    check_self_contained(text, page)


def test_every_plot_is_drawn(page: Page) -> None:
    assert set(page.plots) == PLOTS
    for name, plot in page.plots.items():
        assert plot.paths > 10, name
    for curve in ("precision-recall-card-2", "precision-recall-card-1"):
        assert page.plots["precision-recall"].curves[curve].count("L") > 5, curve
    for side in ("card-1", "card-2"):
        assert page.plots["calibration"].curves[f"calibration-{side}"].count("L") >= 2
        assert page.plots["money"].curves[f"money-value-{side}"].count("L") > 5
        assert page.plots["scores"].curves[f"risk-scores-{side}"]
    assert page.plots["trade"].curves["trade-value_detected"].count("L") > 5


def test_the_figures_are_those_of_the_ledger_and_come_out_again_from_the_archive(
    folder: Folder, page: Page
) -> None:
    checks = ledger_checks(folder, "card-2")
    rows = page.rows("data-figure")
    names = [
        f"{name}_{side}"
        for name in ("average_precision", "recall")
        for side in ("challenger", "champion", "difference")
    ]
    assert [row["data-figure"] for row in rows] == names
    for row in rows:
        assert float(row["data-value"]) == checks[row["data-figure"]]["value"]
        assert float(row["data-recomputed"]) == pytest.approx(float(row["data-value"]), abs=1e-12)
    drawn = f"card-2: average precision {checks['average_precision_challenger']['value']:.3f}"
    assert drawn in page.texts, "the legend of the plot"
    assert not any("Not as it should be" in told for told in page.texts)


def test_each_check_of_the_verdict_has_its_row(folder: Folder, page: Page) -> None:
    checks = ledger_checks(folder, "card-2")
    shown = {row["data-check"]: row["data-value"] for row in page.rows("data-check")}
    assert shown == {
        name: "" if check["value"] is None else str(check["value"]) for name, check in checks.items()
    }
    assert "Slices" in page.texts
    assert any(name.startswith("slice_") for name in shown)


def test_labels_are_told_by_who_gave_them(folder: Folder, page: Page) -> None:
    batches = folder.state.version("card-2").manifest["label_batches"]
    givers = {f"{batch['source']}/{batch['submitter']}" for batch in batches}
    assert {row["data-giver"] for row in page.rows("data-giver")} == givers
    assert len(givers) == 3


def test_the_ledger_s_entries_on_the_version_are_listed(folder: Folder, page: Page) -> None:
    kinds = [folder.entry(int(row["data-entry"])).kind for row in page.rows("data-entry")]
    assert kinds == ["VersionRegistered", "VerdictGiven", "Promoted"]


def test_the_first_version_stands_alone(folder: Folder) -> None:
    made = read_version(folder, "card-1")
    page = Page(render_version(folder, made))
    assert made.against == ""
    assert [row["data-figure"] for row in page.rows("data-figure")] == [
        "average_precision_challenger",
        "recall_challenger",
    ]
    assert list(page.plots["precision-recall"].curves).count("precision-recall-card-1") == 1
    assert made.problems == ()


def test_a_version_that_was_not_judged_is_shown_beside_the_champion_on_what_is_known_now(
    folder: Folder,
) -> None:
    made = read_version(folder, "card-3")
    page = Page(render_version(folder, made))
    assert (made.verdict, made.against) == (None, "card-2")
    assert page.rows("data-figure") == []
    assert page.rows("data-check") == []
    assert set(page.plots) >= {"scores", "reasons"}


def test_without_evidence_or_traffic_the_page_says_so(folder: Folder, tmp_path: Path) -> None:
    config = folder.settings.data_dir.parent / "fraud.toml"
    early = Folder.open(load_settings(config, {"FRAUD__LABELS__MATURITY": "60d"}))
    page = Page(render_version(early, read_version(early, "card-3")))
    assert any("no evidence to draw curves from" in told for told in page.texts)
    copy = tmp_path / "copy"
    shutil.copytree(folder.settings.data_dir.parent, copy)
    empty = load_settings(copy / "fraud.toml", {})
    shutil.rmtree(empty.places.archive)
    bare = Folder.open(empty)
    page = Page(render_version(bare, read_version(bare, "card-3")))
    assert any("No payment of this model is in the archive yet" in told for told in page.texts)
    assert set(page.plots) == {"trade"}


def test_figures_that_do_not_come_out_again_are_told(folder: Folder) -> None:
    config = folder.settings.data_dir.parent / "fraud.toml"
    other = Folder.open(load_settings(config, {"FRAUD__GATE__ALERT_SHARE": "0.2"}))
    made = read_version(other, "card-2")
    assert any("recall within the alert budget of card-2 is 0.6" in problem for problem in made.problems)
    assert "Not as it should be: recall" in render_version(other, made)


def test_a_champion_whose_bundle_is_gone_is_told(folder: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder.settings.data_dir.parent, copy)
    settings = load_settings(copy / "fraud.toml", {})
    shutil.rmtree(settings.places.bundles / folder.state.version("card-1").digest)
    made = read_version(Folder.open(settings), "card-2")
    assert "the bundle of card-1 is no longer kept" in made.problems[0]
    assert [side.version for side in made.traffic.sides] == ["card-2"] if made.traffic else False
    with pytest.raises(NotFound):
        read_version(Folder.open(settings), "card-1")


def test_taint_and_overrides_stand_on_the_page(folder: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder.settings.data_dir.parent, copy)
    settings = load_settings(copy / "fraud.toml", {})
    store = LedgerStore.open(settings.places.ledger)
    promoted = {"model": "card", "version": "card-3", "expected": "card-2", "override": True}
    store.append(
        "Promoted", {**promoted, "overridden": "no verdict"}, actor="ann", reason="it had to be", time_us=1
    )
    body = {
        "exclusion": {"what": "labels", "batch_id": "customer-3"},
        "first_position": 1200,
        "labels": 6,
        "transactions": 0,
        "muted": False,
        "retrain": False,
    }
    store.append("DataExcluded", body, actor="bob", reason="wrong <file>", time_us=1)
    store.close()
    changed = Folder.open(settings)
    text = render_version(changed, read_version(changed, "card-3"))
    assert "cut out by bob in ledger entry" in text
    assert "wrong &lt;file&gt;" in text
    assert "Promoted by override: no verdict" in text


def test_the_figures_hold_when_the_data_is_excluded_later(folder: Folder, tmp_path: Path) -> None:
    """A verdict is read again through the view of its own cycle."""
    copy = tmp_path / "copy"
    shutil.copytree(folder.settings.data_dir.parent, copy)
    settings = load_settings(copy / "fraud.toml", {})
    store = LedgerStore.open(settings.places.ledger)
    body = {
        "exclusion": {"what": "labels", "source": "customer"},
        "first_position": 1,
        "labels": 500,
        "transactions": 0,
        "muted": False,
        "retrain": False,
    }
    store.append("DataExcluded", body, actor="bob", reason="", time_us=1)
    store.close()
    made = read_version(Folder.open(settings), "card-2")
    assert made.problems == ()
    assert all(each.recomputed is not None and each.agrees for each in made.quality)


def test_the_same_folder_gives_the_same_page(folder: Folder, text: str) -> None:
    assert render_version(folder, read_version(folder, "card-2")) == text
