from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow
from fraud.records import Applied, Entry
from fraud.registry import LedgerStore, promote
from fraud.registry.reference import reference_of
from fraud.registry.retention import Service, bundle_fates, services
from fraud.settings.retention import Retention
from tests.registry.entries import add, registered, verdict

RULE = Retention(rollback_within=100 * DAY_US, bundles=30 * DAY_US)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    opened = LedgerStore.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def register(store: LedgerStore, version: str, day: int, parent: str = "") -> None:
    add(store, "VersionRegistered", registered(version, parent=parent), time_us=day * DAY_US)


def crown(store: LedgerStore, version: str, expected: str, day: int) -> None:
    model = version.rpartition("-")[0]
    promote(store, model, version, expected, actor="gate", reason="", time_us=day * DAY_US)


def kept(store: LedgerStore, day: int, *served: Service) -> dict[str, str]:
    """Return the kept versions with the reason."""
    fates = bundle_fates(store.state(), served, RULE, day * DAY_US)
    return {version: fate.why for fate in fates if fate.kept for version in fate.versions}


def succession(store: LedgerStore, *days: int) -> None:
    """Register and crown card-1, card-2, … on these days."""
    for i, day in enumerate(days, start=1):
        register(store, f"card-{i}", day)
        crown(store, f"card-{i}", f"card-{i - 1}" if i > 1 else "", day)


def test_what_served_when_the_span_of_rollbacks_began_is_kept_and_what_came_before_goes(
    store: LedgerStore,
) -> None:
    succession(store, 0, 50, 150, 220)
    # Rollbacks go back to day 140, when card-2 served.
    assert sorted(kept(store, 240)) == ["card-2", "card-3", "card-4"]
    # On day 251 that moment is day 151: card-3.
    assert sorted(kept(store, 251)) == ["card-3", "card-4"]
    assert kept(store, 251)["card-4"] == "champion"
    gone = [fate for fate in bundle_fates(store.state(), [], RULE, 251 * DAY_US) if not fate.kept]
    assert [fate.why for fate in gone] == ["served last more than 100d ago"] * 2


def test_the_first_champion_is_kept_where_quality_is_held_against_it(store: LedgerStore) -> None:
    succession(store, 0, 50, 150, 220)
    fates = bundle_fates(store.state(), [], RULE, 251 * DAY_US, keep_reference=True)
    assert [fate.versions[0] for fate in fates if fate.kept] == ["card-1", "card-3", "card-4"]
    assert fates[0].why == "first champion, which quality is held against"
    # Where its bundle went before, the earliest that is left stands in.
    state = store.state()
    state.vacuumed[state.version("card-1").digest] = state.seq
    assert reference_of(state, "card") == "card-2"
    assert reference_of(state, "transfer") == ""


def test_the_border_of_the_span_belongs_to_the_version_that_began_then(store: LedgerStore) -> None:
    succession(store, 0, 100, 200)
    assert "card-1" in kept(store, 199)
    assert "card-1" not in kept(store, 201)


def test_what_went_on_serving_because_its_successor_failed_is_kept(store: LedgerStore) -> None:
    succession(store, 0, 10, 300)
    applied = [
        Entry(1, 0, Applied(2, "card", "card-1", "p")),
        Entry(5, 10 * DAY_US, Applied(4, "card", "card-1", "p", refused="self-test")),
        Entry(7, 300 * DAY_US, Applied(0, "", "", "", label_view="{}")),
    ]
    served = services(applied)
    assert served == [Service("card", "card-1", 0)]
    assert kept(store, 300, *served)["card-1"] == "serves"
    later = [*served, Service("card", "card-3", 301 * DAY_US)]
    assert kept(store, 310, *later)["card-1"].startswith("served within 100d")
    assert "card-1" not in kept(store, 402, *later)


def test_a_challenger_that_awaits_evidence_is_kept_however_old_it_is(store: LedgerStore) -> None:
    succession(store, 0)
    register(store, "card-2", 1)
    add(store, "VerdictGiven", verdict("card-2", "INCONCLUSIVE", "card-1"), time_us=2 * DAY_US)
    assert kept(store, 900)["card-2"] == "challenger that awaits evidence"


def test_a_rejected_version_goes_when_its_last_verdict_is_old_enough(store: LedgerStore) -> None:
    succession(store, 0)
    register(store, "card-2", 1)
    add(store, "VerdictGiven", verdict("card-2", "INCONCLUSIVE", "card-1"), time_us=2 * DAY_US)
    add(store, "VerdictGiven", verdict("card-2", "REJECT", "card-1"), time_us=50 * DAY_US)
    assert kept(store, 79)["card-2"] == "judged less than 30d ago"
    assert "card-2" not in kept(store, 80)
    (fate,) = [fate for fate in bundle_fates(store.state(), [], RULE, 80 * DAY_US) if not fate.kept]
    assert (fate.versions, fate.why) == (("card-2",), "rejected more than 30d ago")


def test_every_ancestor_of_a_kept_version_is_kept(store: LedgerStore) -> None:
    register(store, "card-1", 0)
    register(store, "card-2", 1, parent="card-1")
    register(store, "card-3", 2, parent="card-2")
    register(store, "card-4", 3, parent="card-1")
    for version in ("card-1", "card-2", "card-4"):
        add(store, "VersionDropped", {"version": version, "why": "test"}, time_us=4 * DAY_US)
    crown(store, "card-3", "", 5)
    reasons = kept(store, 900)
    assert reasons["card-2"] == "card-3 was continued from it"
    assert reasons["card-1"] == "card-2 was continued from it"
    assert "card-4" not in reasons


def test_the_last_clean_champion_is_kept_beyond_the_span_of_rollbacks(store: LedgerStore) -> None:
    succession(store, 0, 1)
    assert kept(store, 900) == {
        "card-1": "last clean champion before the present one",
        "card-2": "champion",
    }


def test_a_bundle_that_two_versions_share_is_kept_for_either(store: LedgerStore) -> None:
    succession(store, 0)
    twin = registered("card-2") | {"digest": "digest-card-1"}
    add(store, "VersionRegistered", twin, time_us=DAY_US)
    add(store, "VerdictGiven", verdict("card-2", "REJECT", "card-1"), time_us=2 * DAY_US)
    (fate,) = bundle_fates(store.state(), [], RULE, 900 * DAY_US)
    assert (fate.kept, fate.versions, fate.why) == (True, ("card-1", "card-2"), "champion")


def test_whatever_a_rollback_may_go_to_is_kept_in_any_history(tmp_path: Path) -> None:
    for seed in range(10):
        random = Random(seed)
        store = LedgerStore.open(tmp_path / f"{seed}.db")
        day, champion = 0, ""
        for number in range(1, 25):
            day += random.randrange(30)
            register(store, f"card-{number}", day)
            if random.random() < 0.6:
                crown(store, f"card-{number}", champion, day)
                champion = f"card-{number}"
            elif random.random() < 0.7:
                add(
                    store, "VerdictGiven", verdict(f"card-{number}", "REJECT", champion), time_us=day * DAY_US
                )
        state, now = store.state(), day + random.randrange(150)
        here = kept(store, now)
        for back in range(RULE.rollback_within // DAY_US + 1):
            then = state.champion_at("card", (now - back) * DAY_US)
            assert not then or then in here, f"seed {seed}: {then} served {back} days ago"
        store.close()


def test_a_version_whose_bundle_was_vacuumed_is_neither_promoted_nor_rolled_back_to(
    store: LedgerStore,
) -> None:
    succession(store, 0, 1)
    entry = add(store, "Vacuumed", {"bundles": ["digest-card-1"], "files": 0, "bytes": 10})
    with pytest.raises(NotAllowedNow, match=f"bundle of card-1 is gone: .* ledger entry {entry.seq}"):
        crown(store, "card-1", "card-2", 3)
    body = {"model": "card", "version": "card-1", "expected": "card-2", "mute": None}
    with pytest.raises(NotAllowedNow, match="bundle of card-1 is gone"):
        add(store, "RolledBack", body | {"before_us": 0, "exclusion": 0})
    # The same content trained again brings the bundle back.
    again = registered("card-3") | {"digest": "digest-card-1"}
    add(store, "VersionRegistered", again, time_us=4 * DAY_US)
    crown(store, "card-3", "card-2", 5)
    assert store.state().champion("card") == "card-3"


def test_the_bundle_of_a_champion_cannot_be_vacuumed(store: LedgerStore) -> None:
    succession(store, 0)
    with pytest.raises(NotAllowedNow, match="card-1 is a champion"):
        add(store, "Vacuumed", {"bundles": ["digest-card-1"], "files": 0, "bytes": 10})
