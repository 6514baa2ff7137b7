"""Who stands out among the submitters of a source: against whom each is held, and what is chance."""

import polars as pl

from fraud.guard.submitters import StandOut, stand_out

Days = dict[int, tuple[int, int]]
"""Age → rows, hits."""
SPAN = 28
DESK = ("analyst", "desk", dict.fromkeys(range(60), (20, 1)))


def found(*given: tuple[str, str, Days], first_time: float = 1.0) -> list[StandOut]:
    counts = pl.DataFrame(
        [
            (source, submitter, age, rows, hits)
            for source, submitter, days in given
            for age, (rows, hits) in days.items()
        ],
        schema={"source": str, "submitter": str, "age": pl.Int64, "rows": pl.Int64, "hits": pl.Int64},
        orient="row",
    )
    assert counts.height, "nobody was given"
    shuffled = counts.sample(fraction=1.0, shuffle=True, seed=1)
    told = list(stand_out(counts, SPAN, 20, 0.25, 1e-6, first_time=first_time))
    assert told == list(stand_out(shuffled, SPAN, 20, 0.25, 1e-6, first_time=first_time))
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
    assert [it.submitter for it in found(DESK, alone, first_time=0.1)] == ["shop"]


def test_who_always_was_so_is_not_found_and_who_became_so_is() -> None:
    always = ("customer", "shop", dict.fromkeys(range(60), (10, 6)))
    became = ("issuer", "bank", {age: (10, 6 if age < 10 else 0) for age in range(60)})
    assert [it.submitter for it in found(always, became)] == []
    became = ("issuer", "bank", {age: (10, 6 if age < 20 else 0) for age in range(60)})
    assert [it.submitter for it in found(always, became)] == ["bank"]


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
