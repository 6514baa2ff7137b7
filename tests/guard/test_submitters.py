"""Who stands out among the submitters of a source: against whom each is held, and what is chance."""

import numpy as np
import polars as pl

from fraud.guard.submitters import StandOut, stand_out

Days = dict[int, tuple[int, int]]
"""Age → rows, hits, all of them news."""
SPAN = 28
DESK = ("analyst", "desk", dict.fromkeys(range(60), (20, 1)))


def found(*given: tuple[str, str, Days], unknown: float = 1.0) -> list[StandOut]:
    counts = pl.DataFrame(
        [
            (source, submitter, age, rows, hits, hits)
            for source, submitter, days in given
            for age, (rows, hits) in days.items()
        ],
        schema={"source": str, "submitter": str, **dict.fromkeys(("age", "rows", "hits", "fresh"), pl.Int64)},
        orient="row",
    )
    assert counts.height, "nobody was given"
    shuffled = counts.sample(fraction=1.0, shuffle=True, seed=1)
    told = list(stand_out(counts, SPAN, 20, 0.25, 1e-6, unknown))
    assert told == list(stand_out(shuffled, SPAN, 20, 0.25, 1e-6, unknown))
    return told


def test_who_stands_out_is_told_with_what_is_usual_and_since_when() -> None:
    (told,) = found(DESK, ("analyst", "bought", dict.fromkeys(range(4, 14), (10, 6))))
    assert (told.source, told.submitter, told.rows, told.hits, told.oldest) == (
        "analyst",
        "bought",
        100,
        60,
        13,
    )
    assert 0.045 < told.usual < 0.055
    assert abs(told.risen - (0.6 - told.usual)) < 1e-12


def test_one_source_is_no_measure_of_another() -> None:
    alone = ("customer", "shop", dict.fromkeys(range(10), (10, 6)))
    assert found(DESK, alone) == []
    assert [it.usual for it in found(DESK, alone, unknown=0.3)] == [0.3]


def test_who_always_was_so_is_not_found_beside_a_larger_one_either() -> None:
    always = ("analyst", "queue", dict.fromkeys(range(60), (5, 3)))
    assert found(always) == found(DESK, always) == []


def test_who_became_so_is_found() -> None:
    became = ("issuer", "bank", {age: (10, 6 if age < 20 else 0) for age in range(60)})
    assert [it.submitter for it in found(became)] == ["bank"]


def test_where_submitters_differ_anyway_a_new_one_may_differ_too() -> None:
    """Colleagues have 0, 20, 40, 60 %: 70 % is no proof, though chance by the day would say so."""
    others = [("analyst", f"{tenths}", dict.fromkeys(range(60), (10, tenths))) for tenths in (0, 2, 4, 6)]
    new = ("analyst", "new", dict.fromkeys(range(10), (10, 7)))
    assert found(*others, new) == []
    assert [it.submitter for it in found(others[0], new)] == ["new"]


def test_of_many_who_differ_for_ever_none_is_found() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        desks = []
        for name, share in enumerate(rng.beta(2.5, 5.8, 8)):
            days = {age: (int(n), int(rng.binomial(n, share))) for age, n in enumerate(rng.poisson(12, 60))}
            desks.append(("analyst", f"{name}", days))
        assert found(*desks) == []


def test_two_who_stand_out_do_not_excuse_each_other() -> None:
    first = ("analyst", "first", dict.fromkeys(range(10), (40, 24)))
    second = ("analyst", "second", dict.fromkeys(range(10), (40, 28)))
    assert [it.submitter for it in found(DESK, first, second)] == ["first", "second"]


def test_few_labels_are_not_judged() -> None:
    assert found(DESK, ("analyst", "new", {1: (19, 19)})) == []
    assert [it.submitter for it in found(DESK, ("analyst", "new", {1: (20, 20)}))] == ["new"]


def test_where_days_are_alike_in_themselves_one_day_is_no_proof_and_many_are() -> None:
    """Usual days have all or nothing: a bad one may have all by chance, ten of ten may not."""
    uneven = ("analyst", "desk", {age: (20, 20 if age % 10 == 0 else 0) for age in range(60)})
    assert found(uneven, ("analyst", "one", {3: (40, 40)})) == []
    spread = ("analyst", "many", dict.fromkeys(range(10), (4, 4)))
    assert [it.submitter for it in found(uneven, spread)] == ["many"]
