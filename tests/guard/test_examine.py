"""All checks together: silent on clean data, blind to the order of rows, and what findings come to."""

from dataclasses import replace

import pytest

from benchmarks.guard_feed import completed, flip, flood
from fraud.clock import DAY_US
from fraud.errors import InvalidInput
from fraud.guard.examine import examine, rule_on
from fraud.guard.finding import CHECKS, Finding, check_names
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, checks, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1
FREEZING = Finding("silence", "bank", 0.0, 0.5, "nothing came", "freeze")
DROPPING = Finding("duplicates", "b2", 1.0, 0.5, "again", "drop", Exclusion("labels", batch_id="b2"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("since", [1, 7])
def test_clean_data_is_found_fit(seed: int, since: int) -> None:
    payments = made_payments(seed)
    labels = honest(payments)
    for day in range(FIRST_DAY + 5, LAST, 7):
        assert examine(judged(payments, labels, day, since=since), RULES) == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_findings_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    payments = made_payments(seed)
    labels = flip("analyst")(payments, honest(payments), LAST)
    labels = flood("chargeback", "mallory", 150, into_batch=False)(payments, labels, LAST)
    reports = completed(payments)
    found = examine(judged(payments, labels, LAST, reports=reports), RULES)
    assert {"silence", "submitter_share", "near_certain"} <= checks(found)
    for shuffle in range(3):
        data = judged(payments, labels, LAST, reports=reports, shuffle=shuffle)
        tables = ("batches", "positives", "suspects", "missing", "scored", "certain", "cleared")
        shuffled = {
            name: getattr(data, name).sample(fraction=1.0, shuffle=True, seed=shuffle) for name in tables
        }
        assert examine(data, RULES) == found
        assert examine(replace(data, **shuffled), RULES) == found


def test_an_empty_service_is_found_fit() -> None:
    payments = made_payments(days=2, a_day=5)
    nothing = payments.clear()
    assert examine(judged(nothing, honest(payments).clear(), LAST), RULES) == ()


def test_every_check_has_its_rules_and_can_be_switched_off() -> None:
    sections = {name for name in Guard.model_fields if name not in ("history", "history_min", "p_value")}
    assert sections == set(CHECKS)
    payments = made_payments()
    labels = flip("analyst")(payments, honest(payments), LAST)
    off = {name: getattr(RULES, name).model_copy(update={"action": "off"}) for name in CHECKS}
    assert examine(judged(payments, labels, LAST), RULES.model_copy(update=off)) == ()


def test_a_frozen_past_is_judged_again_and_a_fit_one_is_not() -> None:
    payments = made_payments()
    labels = flip("analyst")(payments, honest(payments), LAST - 4)
    assert "near_certain" in checks(examine(judged(payments, labels, LAST, since=6), RULES))
    assert "near_certain" not in checks(examine(judged(payments, labels, LAST, since=1), RULES))


def test_a_ruling_freezes_drops_and_is_overridden_by_check() -> None:
    ruling = rule_on((FREEZING, DROPPING), ())
    assert ruling.frozen
    assert ruling.reasons == ("silence: nothing came",)
    assert ruling.dropped == (("duplicates", Exclusion("labels", batch_id="b2")),)
    passed = rule_on((FREEZING, DROPPING), ("silence", "traffic"))
    assert not passed.frozen
    assert passed.overridden == ("silence",), "only what found something is overridden"
    assert rule_on((DROPPING,), ("duplicates",)).dropped == ()


def test_a_drop_that_can_leave_nothing_out_freezes() -> None:
    assert rule_on((replace(DROPPING, suspect=None),), ()).frozen


def test_a_finding_comes_back_from_the_ledger_as_it_went() -> None:
    for finding in (FREEZING, DROPPING):
        assert Finding.from_dict(finding.to_dict()) == finding


def test_an_unknown_check_is_refused_with_the_names_there_are() -> None:
    check_names(("silence",))
    with pytest.raises(InvalidInput, match=r"no check sillence; name any of silence, outcomes"):
        check_names(("sillence",))


def test_days_are_counted_back_from_the_cut() -> None:
    payments = made_payments(days=3, a_day=50)
    data = judged(payments, honest(payments).clear(), FIRST_DAY + 2)
    days = (payments["event_time_us"] // DAY_US).to_list()
    expected = [days.count(FIRST_DAY + 2), days.count(FIRST_DAY + 1), days.count(FIRST_DAY), 0]
    assert data.traffic[:4].tolist() == expected
    assert data.seen == 3
