"""Reports of the guard on the ledger: the latest a model, and up to when its data was found fit."""

from pathlib import Path
from typing import Any

import pytest

from fraud.errors import InvalidInput
from fraud.labels.exclusions import Exclusion
from fraud.registry import LedgerStore
from fraud.registry.ledger import RegistryState
from tests.registry.entries import add


def report(cut_time_us: int, *, frozen: bool = False, **more: Any) -> dict[str, Any]:
    """Return the body of a GuardReported."""
    return {
        "request_seq": None,
        "model": "card",
        "cut_position": cut_time_us,
        "cut_time_us": cut_time_us,
        "findings": [],
        "frozen": frozen,
        "dropped": [],
        "overridden": [],
        **more,
    }


@pytest.fixture
def store(tmp_path: Path) -> LedgerStore:
    return LedgerStore.open(tmp_path / "registry.sqlite")


def folded(store: LedgerStore) -> RegistryState:
    return RegistryState.fold(store.read())


def test_data_is_fit_up_to_the_last_report_that_froze_nothing(store: LedgerStore) -> None:
    assert not folded(store).guard_reports
    add(store, "GuardReported", report(10, frozen=True))
    assert folded(store).guard_reports["card"].fit_until_us == 0
    add(store, "GuardReported", report(20))
    add(store, "GuardReported", report(30, frozen=True))
    latest = folded(store).guard_reports["card"]
    assert (latest.frozen, latest.cut_position, latest.fit_until_us) == (True, 30, 20)


def test_each_model_has_its_own(store: LedgerStore) -> None:
    add(store, "GuardReported", report(10))
    add(store, "GuardReported", {**report(20, frozen=True), "model": "transfer"})
    reports = folded(store).guard_reports
    assert (reports["card"].fit_until_us, reports["transfer"].fit_until_us) == (10, 0)


def test_what_was_dropped_comes_back_as_it_went(store: LedgerStore) -> None:
    exclusion = Exclusion("labels", batch_id="b1")
    dropped = [{"check": "duplicates", "exclusion": exclusion.to_dict()}]
    add(store, "GuardReported", report(10, dropped=dropped, overridden=["silence"]))
    found = folded(store).guard_reports["card"]
    assert found.dropped == (("duplicates", exclusion),)
    assert found.overridden == ("silence",)


def test_a_report_that_lacks_a_field_is_refused(store: LedgerStore) -> None:
    body = report(10)
    del body["frozen"]
    with pytest.raises(InvalidInput, match="frozen"):
        add(store, "GuardReported", body)
