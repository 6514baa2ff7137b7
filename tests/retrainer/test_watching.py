"""The monitoring of the retraining process, on a real archive and ledger."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.guard.finding import CHECKS
from fraud.labels.exclusions import Exclusion
from fraud.monitoring.names import BOUNDS, metrics_of
from fraud.monitoring.probing import PATTERNS
from fraud.monitoring.retrainer_metrics import PARTS
from fraud.records import Label, LabelsSubmitted, LabelValue, Outcome
from fraud.registry.cycles import TRIGGERS
from fraud.registry.loop import REASONS, RESULTS
from fraud.retrainer import realised
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.feeding import UNCHANGED_US
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from tests.retrainer.answering import EAGER, LAST_DAY, Scoring, answering, look, shown
from tests.retrainer.patterns import ROWS_A_DAY, START_US, World, ids_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("answering")
    answering(place).close()
    return place


@pytest.fixture
def world(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    monkeypatch.setattr(realised, "RESTS", 0.0)
    opened = Scoring(shutil.copytree(folder, tmp_path / "world"))
    yield opened
    opened.close()


def watching(world: World) -> tuple[Workshop, Monitor]:
    shop = open_workshop(load_settings(world.config, EAGER))
    monitor = Monitor(shop)
    look(world, shop, monitor)
    return shop, monitor


def test_who_answered_who_would_and_who_never_changed_stand_side_by_side(world: Scoring) -> None:
    shop, _ = watching(world)
    recall = {
        subject: shown(shop, "fraud_realised_recall", subject=subject, window="6d", bound="point")
        for subject in ("decisions", "champion", "first", "shadow_1")
    }
    assert recall["champion"] == recall["decisions"] == pytest.approx(1.0, abs=0.05)
    assert recall["first"] == pytest.approx(0.5, abs=0.2)
    assert 0 <= recall["shadow_1"] <= 1
    gain = {
        bound: shown(shop, "fraud_realised_gain", window="6d", figure="recall", bound=bound)
        for bound in BOUNDS
    }
    assert gain["point"] == pytest.approx(recall["champion"] - recall["first"])
    assert 0 < gain["lower"] <= gain["point"] <= gain["upper"]
    behind = {"subject": "decisions", "window": "6d"}
    judged = range(LAST_DAY - 5 - 6, LAST_DAY - 5)
    frauds = [
        it for it in ids_of("amount", judged) + ids_of("burst", judged) if int(it[-2:].strip("-")) != 99
    ]
    assert shown(shop, "fraud_realised_frauds", **behind) == len(frauds)
    assert shown(shop, "fraud_realised_labels", **behind) == len(frauds)
    assert shown(shop, "fraud_realised_rule_rows", window="6d") == 6 * ROWS_A_DAY // 100
    for subject, version in (("champion", "card-2"), ("first", "card-1"), ("shadow_1", "card-1")):
        assert shown(shop, "fraud_quality_subject_info", subject=subject, version=version) == 1


def test_a_champion_is_judged_only_where_it_has_learned_nothing(world: Scoring) -> None:
    world.crown(world.train())
    shop, _ = watching(world)
    rows = {
        subject: shown(shop, "fraud_realised_rows", subject=subject, window="12d")
        for subject in ("decisions", "champion", "first")
    }
    rival = world.rival("card-3")
    assert rival is not None
    last_day = START_US + (LAST_DAY - 5) * DAY_US
    fresh = (last_day - rival.unseen.from_us) // DAY_US
    assert 0 < fresh < 12
    assert rows["champion"] == pytest.approx(rows["decisions"] * fresh / 12, rel=0.01)
    assert rows["first"] == rows["decisions"]
    # Recent traffic is a whole window also right after a promotion.
    assert shown(shop, "fraud_recent_rows") == pytest.approx(7 * ROWS_A_DAY, rel=0.01)
    assert shown(shop, "fraud_drift_findings", kind="features") == 0


def test_a_reference_whose_bundle_is_gone_is_left_out(world: Scoring) -> None:
    shutil.rmtree(world.settings.places.bundles / world.ledger.state().version("card-1").digest)
    shop, _ = watching(world)
    assert math.isnan(shown(shop, "fraud_realised_recall", subject="first", window="6d", bound="point"))
    assert shown(shop, "fraud_realised_recall", subject="champion", window="6d", bound="point") > 0.9


def test_a_late_label_restates_what_was_published_and_says_so(world: Scoring) -> None:
    shop, monitor = watching(world)
    frauds = shown(shop, "fraud_cohort_frauds", cohort="1")
    start_us = shown(shop, "fraud_cohort_start_timestamp_seconds", cohort="1") * 1e6
    recall = shown(shop, "fraud_cohort_recall", cohort="1", bound="point")
    assert shown(shop, "fraud_cohort_restated_frauds", cohort="1") == 0
    assert shown(shop, "fraud_cohort_restated_recall", cohort="1") == 0
    day = int(start_us - START_US) // DAY_US
    known = set(ids_of("amount", [day]) + ids_of("burst", [day]))
    late = [f"d{day}-{row}" for row in range(40) if f"d{day}-{row}" not in known and row % 100 != 99][:20]
    now_us = world.log.last_arrival_us()
    labels = tuple(Label(each, LabelValue.FRAUD, now_us) for each in late)
    world.log.append([LabelsSubmitted("late", 0, "customer", "bank", labels, "d")], now_us, [])
    look(world, shop, monitor)
    assert shown(shop, "fraud_cohort_frauds", cohort="1") == frauds + 20
    assert shown(shop, "fraud_cohort_restated_frauds", cohort="1") == 20
    restated = shown(shop, "fraud_cohort_recall", cohort="1", bound="point")
    assert shown(shop, "fraud_cohort_restated_recall", cohort="1") == pytest.approx(restated - recall)
    assert restated < recall
    again, _ = watching(world)
    assert shown(again, "fraud_cohort_restated_frauds", cohort="1") == 20, "a restart forgets nothing"


def test_nothing_is_computed_again_while_nothing_has_matured_or_come_in(world: Scoring) -> None:
    shop, monitor = watching(world)
    computed = shown(shop, "fraud_quality_computed_timestamp_seconds")
    shop.clock.observe(world.log.last_arrival_us() + HOUR_US)
    monitor.turn()
    assert shown(shop, "fraud_quality_computed_timestamp_seconds") == computed
    world.pass_days(LAST_DAY + 1)
    look(world, shop, monitor)
    assert shown(shop, "fraud_quality_computed_timestamp_seconds") == world.log.last_arrival_us() / 1e6


def test_days_that_mature_in_seconds_and_new_champions_wait_for_the_rest_after_a_look(
    world: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, monitor = watching(world)
    champion = {"subject": "champion", "version": "card-1"}
    monkeypatch.setattr(realised, "RESTS", 1e6)
    computed = shown(shop, "fraud_quality_computed_timestamp_seconds")
    world.crown("card-1")
    world.pass_days(LAST_DAY + 1)
    look(world, shop, monitor)
    assert shown(shop, "fraud_quality_computed_timestamp_seconds") == computed
    assert math.isnan(shown(shop, "fraud_quality_subject_info", **champion))
    monkeypatch.setattr(realised, "RESTS", 0.0)
    look(world, shop, monitor)
    assert shown(shop, "fraud_quality_computed_timestamp_seconds") == world.log.last_arrival_us() / 1e6
    assert shown(shop, "fraud_quality_subject_info", **champion) == 1


def test_traffic_that_is_what_it_was_has_not_moved_and_other_traffic_has(world: Scoring) -> None:
    shop, monitor = watching(world)
    for kind in ("features", "scores", "alerts"):
        assert shown(shop, "fraud_drift_findings", kind=kind) == 0
    assert shown(shop, "fraud_estimate_holds", assumption="no_drift") == 1
    assert shown(shop, "fraud_recent_traffic_share", kind="new_card") == 1
    assert shown(shop, "fraud_recent_traffic_share", kind="unseen_category") == 0
    # The shadow would have all reviewed.
    alerts = 1 - shown(shop, "fraud_recent_outcome_share", outcome="APPROVE")
    assert shown(shop, "fraud_shadow_disagreement_share", subject="shadow_1") == pytest.approx(
        1 - alerts, abs=0.01
    )
    world.factor = 40.0
    world.pass_days(LAST_DAY + 7)
    look(world, shop, monitor)
    assert shown(shop, "fraud_feature_drift", feature="amount") > 0.1
    assert abs(shown(shop, "fraud_feature_drift", feature="night")) < 0.05
    assert shown(shop, "fraud_drift_findings", kind="features") == 1
    assert shown(shop, "fraud_drift_findings", kind="alerts") == 1
    assert shown(shop, "fraud_recent_alert_ratio", bound="lower") > 2
    assert shown(shop, "fraud_estimate_holds", assumption="no_drift") == 0


def test_the_loop_is_the_same_after_a_restart(world: Scoring) -> None:
    world.ledger.append(
        "CycleStarted",
        {"request_seq": None, "models": ["card"], "cut_position": 1},
        actor="t",
        reason="",
        time_us=5,
    )
    ended: dict[str, Any] = {"request_seq": None, "verdicts": [], "seconds": 2.5}
    world.ledger.append("CycleFinished", ended, actor="t", reason="", time_us=3_000_000)
    for shop, _ in (watching(world), watching(world)):
        assert shown(shop, "fraud_promotions_total") == 2
        assert shown(shop, "fraud_versions_total") == 2
        assert shown(shop, "fraud_retrains_total", result="finished") == 1
        assert shown(shop, "fraud_retrains_total", result="failed") == 0
        assert shown(shop, "fraud_retrain_last_success_timestamp_seconds") == 3
        assert shown(shop, "fraud_retrain_last_seconds") == 2.5
        assert shown(shop, "fraud_retrain_last_result", result="finished") == 1


def test_a_feed_that_goes_silent_shows_beside_one_that_flows(world: Scoring) -> None:
    shop, monitor = watching(world)
    flowing = shown(shop, "fraud_feed_observed_ratio", source="customer", window="7d")
    assert flowing == pytest.approx(1.0, abs=0.05)
    assert shown(shop, "fraud_feed_delay_seconds", source="customer", quantile="0.5") == 4 * 86_400
    world.silent = True
    world.pass_days(LAST_DAY + 7)
    look(world, shop, monitor)
    assert shown(shop, "fraud_feed_observed_ratio", source="customer", window="7d") == 0


def test_feeds_wait_for_the_rest_after_a_look(world: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, monitor = watching(world)
    monkeypatch.setattr(realised, "RESTS", 1e6)
    world.silent = True
    world.pass_days(LAST_DAY + 7)
    look(world, shop, monitor)
    assert shown(shop, "fraud_feed_observed_ratio", source="customer", window="7d") > 0.9
    monkeypatch.setattr(realised, "RESTS", 0.0)
    look(world, shop, monitor)
    assert shown(shop, "fraud_feed_observed_ratio", source="customer", window="7d") == 0


def test_feeds_are_not_read_again_until_something_comes_in_or_time_tells_of_silence(world: Scoring) -> None:
    shop, monitor = watching(world)

    def looked() -> bool:
        """Tell whether a turn takes a time of its own."""
        before = shown(shop, "fraud_monitoring_seconds", model="", part="feeds")
        monitor.turn()
        return shown(shop, "fraud_monitoring_seconds", model="", part="feeds") != before

    assert not looked()
    shop.clock.observe(world.log.last_arrival_us() + UNCHANGED_US - 1)
    assert not looked(), "hardly any time has passed"
    shop.clock.observe(world.log.last_arrival_us() + UNCHANGED_US)
    assert looked(), "a feed that is silent shows though nothing comes in"
    assert not looked()
    world.exclude(Exclusion("labels", batch_id=f"customer-{LAST_DAY - 4}"))
    assert looked(), "other labels count"
    world.pass_days(LAST_DAY + 1)
    shop.copy()
    assert looked()


def test_labels_take_their_values_from_the_configuration_and_from_tables(world: Scoring) -> None:
    shop, _ = watching(world)
    settings = shop.settings
    sources = {*settings.labels.sources, "OTHER", "all"}
    allowed: dict[str, set[str]] = {
        "model": set(settings.models),
        "bound": set(BOUNDS),
        "subject": {"decisions", "champion", "first", "shadow_1", "shadow_2"},
        "window": {"1d", "6d", "7d", "12d"},
        "figure": {"recall", "average_precision", "value_detection"},
        "cohort": {str(i + 1) for i in range(settings.monitoring.cohorts)},
        "source": sources,
        "quantile": {"0.5", "0.9", "0.95", "0.99"},
        "check": set(CHECKS),
        "result": set(RESULTS),
        "verdict": {"PROMOTE", "REJECT", "INCONCLUSIVE"},
        "reason": set(REASONS),
        "outcome": {it.name for it in Outcome},
        "feature": set(shop.spec.names) | set(settings.schema_.categorical_names),
        "kind": {
            *("features", "scores", "alerts", "new_card", "new_merchant"),
            *("out_of_range", "unseen_category", "late_event", "card", "merchant"),
        },
        "pattern": set(PATTERNS),
        "trigger": set(TRIGGERS),
        "assumption": {"calibration", "no_drift"},
        "part": set(PARTS),
        "side": {"frauds"},
    }
    samples = 0
    names = {metric.name for metric in metrics_of("retrainer")}
    for family in shop.metrics.registry.collect():
        samples += len(family.samples)
        for sample in family.samples if family.name in names else ():
            for label, value in sample.labels.items():
                if label not in ("le", "version", "alarm"):
                    assert value in allowed[label], sample
    assert 300 < samples < 2_000


def test_a_model_that_is_not_configured_any_more_has_no_figures(world: Scoring) -> None:
    for seq, models in enumerate((["card"], ["transfer"]), 1):
        body = {"request_seq": None, "models": models, "cut_position": 1}
        world.ledger.append("CycleStarted", body, actor="t", reason="", time_us=seq)
        ended: dict[str, Any] = {"request_seq": None, "verdicts": [], "seconds": 2.5}
        world.ledger.append("CycleFinished", ended, actor="t", reason="", time_us=seq)
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("[models.transfer]\n", ""), encoding="utf-8")
    shop, _ = watching(world)
    assert shown(shop, "fraud_retrain_last_seconds") == 2.5
    named = {
        sample.labels["model"]
        for family in shop.metrics.registry.collect()
        for sample in family.samples
        if "model" in sample.labels
    }
    assert named == {"card"}


def test_one_model_that_cannot_be_looked_at_keeps_nobody_from_the_next(world: Scoring) -> None:
    shop = open_workshop(load_settings(world.config, {}))
    seen: list[str] = []

    def look_at(model: str) -> None:
        seen.append(model)
        raise ValueError(model)

    with pytest.raises(ExceptionGroup) as caught:
        shop.each_model(look_at)
    assert seen == list(shop.settings.models) == ["card", "transfer"]
    assert [str(it) for it in caught.value.exceptions] == seen
