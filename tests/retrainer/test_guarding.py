"""Judging before a cycle: what is dropped stays so, what is frozen is judged again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.guard_feed import Frames, chargebacks, flood, frames, silence
from fraud.clock import DAY_US, HOUR_US
from fraud.features.spec import FeatureSpec
from fraud.guard.floods import floods
from fraud.labels.exclusions import Exclusion, View
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.registry.guard_reports import GuardReport
from fraud.retrainer.guarding import Judgement, data_of, flow_of, judge_data, publish
from fraud.settings import Settings, settings_from
from fraud.training.history import Cut, History
from tests.guard.worlds import DAYS, FIRST_DAY, SEEDS, honest, made_payments

LAST = FIRST_DAY + DAYS - 1


def settings(**guard: object) -> Settings:
    tables = {
        "schema": {
            "entities": {"card": {}, "merchant": {}},
            "numeric": {"distance_km": {}},
            "categorical": {"channel": {}},
        },
        "features": {"calendar": ["night"], "entities": {"card": {"windows": ["1h"]}}},
        "models": {"card": {}},
        "labels": {"maturity": "7d"},
        "guard": {"history": "42d", **guard},
    }
    return settings_from(tables, {}, Path("fraud.toml"))


def payments_of(spec: FeatureSpec, made: pl.DataFrame | None = None) -> pl.DataFrame:
    """Made payments with every feature of the service: the first tells, the others do not."""
    made = made_payments() if made is None else made
    first, *others = spec.names
    return made.with_columns(
        pl.col("f_signal").alias(f"f_{first}"), *[pl.col("f_noise").alias(f"f_{name}") for name in others]
    )


def history(source: Frames, chosen: Settings, day: int, view: View | None = None) -> History:
    cut = Cut(len(source.payments), (day + 1) * DAY_US - 1)
    return History(source, FeatureSpec.of(chosen), chosen, cut, view or View())


def reported(judgement: Judgement, former: GuardReport | None, day: int) -> GuardReport:
    body = {**judgement.to_dict(), "cut_position": 1, "cut_time_us": (day + 1) * DAY_US - 1}
    return GuardReport.of(body, former, 1, 0)


def copied(labels: pl.DataFrame, day: int) -> pl.DataFrame:
    """The batch of three days before, sent again under another name."""
    copy = labels.filter(pl.col("arrival_time_us") // DAY_US == day - 3)
    return pl.concat(
        [
            labels,
            copy.with_columns(arrival_time_us=pl.lit(day * DAY_US + 5 * HOUR_US), batch_id=pl.lit("copy")),
        ]
    )


def test_what_is_dropped_is_hidden_from_this_run_and_the_next_until_it_is_passed_over() -> None:
    chosen = settings(duplicates={"action": "drop"})
    payments = payments_of(FeatureSpec.of(chosen))
    source = frames(payments, copied(chargebacks(payments), LAST - 1))
    first = judge_data(history(source, chosen, LAST - 1), "card", None)
    copy = Exclusion("labels", batch_id="copy")
    assert (first.ruling.frozen, first.exclusions) == (False, (copy,))
    report = reported(first, None, LAST - 1)
    second = judge_data(history(source, chosen, LAST), "card", report)
    assert second.ruling.findings == (), "what is dropped is not judged again"
    assert second.exclusions == (copy,), "and not learned from either"
    third = judge_data(history(source, chosen, LAST), "card", report, overrides=["duplicates"])
    assert third.exclusions == ()


def test_what_froze_is_judged_again_until_it_is_excluded() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    polluted = flood("chargeback", "mallory", 80, into_batch=False)(payments, honest(payments), LAST - 2)
    source = frames(payments, polluted)
    former = reported(judge_data(history(source, chosen, LAST - 3), "card", None), None, LAST - 3)
    for day in (LAST - 2, LAST - 1, LAST):
        judgement = judge_data(history(source, chosen, day), "card", former)
        assert judgement.ruling.frozen
        former = reported(judgement, former, day)
    assert former.fit_until_us == (LAST - 2) * DAY_US - 1, "nothing was found fit since"
    view = View((Exclusion("labels", submitter="mallory"),))
    mended = judge_data(history(source, chosen, LAST, view), "card", former)
    assert mended.ruling.findings == ()
    assert reported(mended, former, LAST).fit_until_us == (LAST + 1) * DAY_US - 1


def test_frauds_that_are_set_apart_make_no_feed_silent() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    labels = chargebacks(payments)
    past = history(frames(payments, labels), chosen, LAST)
    newest = labels.filter(pl.col("arrival_time_us") // DAY_US >= LAST - 1)
    apart = replace(past, without=frozenset(newest["transaction_id"]))
    assert judge_data(apart, "card", None) == judge_data(past, "card", None)
    assert judge_data(apart, "card", None).ruling.findings == ()
    assert flow_of(apart, "card").feeds[0].visible[:, :2].any()


def test_a_flood_that_is_set_apart_is_cross_fitted_as_it_is_judged() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    flooded = flood("chargeback", "bank", 40, into_batch=True)(payments, chargebacks(payments), LAST)
    past = history(frames(payments, flooded), chosen, LAST)
    newest = flooded.filter(pl.col("arrival_time_us") // DAY_US == LAST)
    apart = replace(past, without=frozenset(newest["transaction_id"]))
    assert data_of(apart, "card", 0).scored.equals(data_of(past, "card", 0).scored)
    assert judge_data(apart, "card", None).ruling.frozen


def test_a_check_that_is_passed_over_does_not_freeze_and_is_recorded() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    source = frames(payments, silence("chargeback")(payments, chargebacks(payments), LAST))
    past = history(source, chosen, LAST)
    assert judge_data(past, "card", None).ruling.frozen
    passed = judge_data(past, "card", None, overrides=["silence", "traffic"])
    assert not passed.ruling.frozen
    assert passed.to_dict()["overridden"] == ["silence"]
    assert [it["check"] for it in passed.to_dict()["findings"]] == ["silence"]


def test_models_are_cross_fitted_only_for_what_the_champion_doubts() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    calls = []

    def run(function: object, *args: object) -> object:
        calls.append(function)
        return function(*args)  # type: ignore[operator]

    clean = frames(payments, chargebacks(payments))
    assert data_of(history(clean, chosen, LAST), "card", 0, run).crossfit_low is None
    assert not calls
    flooded = flood("chargeback", "bank", 40, into_batch=True)(payments, chargebacks(payments), LAST)
    judgement = judge_data(history(frames(payments, flooded), chosen, LAST), "card", None, run=run)
    assert len(calls) == 1
    assert "implausible_batch" in {finding.check for finding in judgement.ruling.findings}


ONE_KIND = (
    pl.col("f_noise").is_between(1.0, 1.1)
    & (pl.col("f_signal") < 1)
    & ~pl.col("is_fraud")
    & (pl.col("event_time_us") // DAY_US).is_between(LAST - 30, LAST - 1)
)
"""Payments that the champion takes for honest, and that a model can tell by a feature it does not use."""


def told(payments: pl.DataFrame, batch_id: str, source: str, at_us: int) -> pl.DataFrame:
    return payments.select(
        "transaction_id",
        arrival_time_us=pl.lit(at_us),
        label_time_us=pl.lit(at_us),
        value=pl.lit(1, pl.Int32),
        source=pl.lit(source),
        submitter=pl.lit("bank"),
        batch_id=pl.lit(batch_id),
    )


def flooded_by(seed: int, source: str = "", at_us: int = 0) -> History:
    """Three hundred payments of one kind, called fraud in one batch of the last day; others tell of some."""
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen), made_payments(seed, fraud_share=0.02))
    of_kind = payments.filter(ONE_KIND)
    labels = [chargebacks(payments), told(of_kind, "flood", "chargeback", LAST * DAY_US + 5 * HOUR_US)]
    if source:
        labels.append(told(of_kind.head(15), "others", source, at_us))
    return history(frames(payments, pl.concat(labels)), chosen, LAST)


def implausible_in(judgement: Judgement) -> list[str]:
    return [it.subject for it in judgement.ruling.findings if it.check.startswith("implausible")]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flood_of_one_kind_does_not_make_itself_plausible(seed: int) -> None:
    past = flooded_by(seed)
    taught: list[int] = []

    def all_teach(function: Callable[..., object], *args: object) -> object:
        *others, teaches = args
        assert isinstance(teaches, np.ndarray)
        taught.append(int((~teaches).sum()))
        return function(*others)

    assert implausible_in(judge_data(past, "card", None, run=all_teach)) == [], "half believes the other half"
    assert taught[0] > 250
    assert implausible_in(judge_data(past, "card", None)) == ["flood", "bank"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("source", "at_us"),
    [("customer", LAST * DAY_US + 9 * HOUR_US), ("chargeback", (LAST - 1) * DAY_US + 9 * HOUR_US)],
    ids=["another source", "an earlier batch"],
)
def test_an_honest_wave_in_one_batch_is_believed_when_others_tell_of_some_of_it(
    seed: int, source: str, at_us: int
) -> None:
    """To the champion they look as honest as those of a flood, but others call some of them fraud, too."""
    past = flooded_by(seed, source, at_us)
    assert "flood" in floods(data_of(past, "card", 0), past.settings.guard)
    assert implausible_in(judge_data(past, "card", None)) == []


def test_without_a_champions_scores_models_judge_alone() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen)).with_columns(score=pl.lit(None, pl.Float64))
    flooded = flood("chargeback", "bank", 40, into_batch=True)(payments, chargebacks(payments), LAST)
    judgement = judge_data(history(frames(payments, flooded), chosen, LAST), "card", None)
    assert "implausible_batch" in {finding.check for finding in judgement.ruling.findings}


@pytest.mark.parametrize("silent", [True, False])
def test_metrics_show_the_findings_of_the_last_judgement(silent: bool) -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    labels = chargebacks(payments)
    source = frames(payments, silence("chargeback")(payments, labels, LAST) if silent else labels)
    metrics = RetrainerMetrics()
    publish(judge_data(history(source, chosen, LAST), "card", None), metrics)
    sample = metrics.registry.get_sample_value
    assert sample("fraud_guard_findings", {"model": "card", "check": "silence"}) == float(silent)
    assert sample("fraud_retrain_frozen", {"model": "card"}) == float(silent)


def test_labels_of_other_models_are_no_business_of_this_one() -> None:
    chosen = settings()
    payments = payments_of(FeatureSpec.of(chosen))
    other = payments.with_columns(model=pl.lit("transfer"))
    source = frames(other, silence("chargeback")(other, chargebacks(other), LAST))
    past = history(source, chosen, LAST)
    assert judge_data(past, "card", None).ruling.findings == ()
    assert data_of(replace(past), "card", 0).seen == 0
