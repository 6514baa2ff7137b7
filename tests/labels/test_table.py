from typing import get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.labels.standing import ConflictPolicy, ConflictRule, LabelFact
from fraud.labels.table import standing_facts, standing_table
from fraud.records import LabelValue

SOURCES = ("chargeback", "analyst", "customer")
FACTS = st.lists(
    st.tuples(
        st.sampled_from(["t1", "t2", "t3"]),
        st.sampled_from([*SOURCES, "rumour", "hearsay"]),
        st.sampled_from([LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN]),
        st.integers(1, 4),
    ),
    max_size=30,
)


def table_of(facts: list[tuple[str, str, LabelValue, int]]) -> pl.DataFrame:
    """Facts in log order, two to a batch."""
    return pl.DataFrame(
        [
            (1 + place // 2, place % 2, 100 + place // 2, time_us, transaction_id, int(value), source)
            for place, (transaction_id, source, value, time_us) in enumerate(facts)
        ],
        schema={
            "position": pl.Int64,
            "row": pl.Int32,
            "arrival_time_us": pl.Int64,
            "label_time_us": pl.Int64,
            "transaction_id": pl.String,
            "value": pl.Int32,
            "source": pl.String,
        },
        orient="row",
    )


@given(FACTS, st.sampled_from(get_args(ConflictPolicy)), st.randoms(use_true_random=False))
def test_the_table_says_what_the_rule_says_row_by_row_in_whatever_order_rows_come(
    facts: list[tuple[str, str, LabelValue, int]], policy: ConflictPolicy, shuffler: object
) -> None:
    rule = ConflictRule(policy, SOURCES)
    expected = {}
    for transaction_id in {fact[0] for fact in facts}:
        own = [LabelFact(value, source, time) for tid, source, value, time in facts if tid == transaction_id]
        standing = rule.standing(own)
        if standing is not None:
            expected[transaction_id] = int(standing)
    table = table_of(facts).sample(fraction=1, shuffle=True, seed=shuffler.randint(0, 99))  # type: ignore[attr-defined]
    found = standing_table(table.lazy(), rule).collect()
    assert dict(found.select("transaction_id", "value").iter_rows()) == expected
    assert found["transaction_id"].is_sorted()


@given(FACTS, st.sampled_from(get_args(ConflictPolicy)))
def test_the_verdict_comes_with_the_fact_that_carries_it(
    facts: list[tuple[str, str, LabelValue, int]], policy: ConflictPolicy
) -> None:
    table = table_of(facts)
    found = standing_table(table.lazy(), ConflictRule(policy, SOURCES)).collect()
    keys = ["transaction_id", "value", "source", "label_time_us", "arrival_time_us"]
    assert found.join(table, on=keys, how="semi").height == found.height


def test_known_at_t_is_the_same_as_the_rule_over_a_shorter_log() -> None:
    facts = [
        ("t1", "customer", LabelValue.FRAUD, 1),
        ("t1", "analyst", LabelValue.LEGITIMATE, 2),
        ("t1", "chargeback", LabelValue.FRAUD, 3),
    ]
    rule = ConflictRule("LABELER_PRIORITY", SOURCES)
    table = table_of(facts).with_columns(arrival_time_us=pl.col("label_time_us"))
    known = [
        standing_table(table.lazy().filter(pl.col("arrival_time_us") <= at), rule)
        .collect()["value"]
        .to_list()
        for at in range(4)
    ]
    assert known == [[], [1], [2], [1]]


def stands(table: pl.DataFrame, rule: ConflictRule) -> dict[str, int]:
    """The verdict of each transaction that has one."""
    found = standing_table(table.lazy(), rule).collect()
    return dict(found.select("transaction_id", "value").iter_rows())


@given(FACTS, st.sampled_from(get_args(ConflictPolicy)), st.sets(st.integers(1, 15)))
def test_batches_that_make_nothing_stand_may_go_and_the_same_stands(
    facts: list[tuple[str, str, LabelValue, int]], policy: ConflictPolicy, gone: set[int]
) -> None:
    rule, table = ConflictRule(policy, SOURCES), table_of(facts)
    named = standing_facts(table.lazy(), rule).collect()
    going = table.filter(pl.col("position").is_in(list(gone))).join(
        named, on=["transaction_id", "position"], how="anti"
    )
    left = table.join(going, on=["position", "row"], how="anti")
    assert stands(left, rule) == stands(table, rule)


FRAUD, LEGITIMATE, WITHDRAWN = LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN
TAKEN_BACK = [("analyst", FRAUD, 1), ("analyst", WITHDRAWN, 5), ("customer", LEGITIMATE, 3)]
VOTES = [("chargeback", FRAUD, 1), ("analyst", FRAUD, 2), ("customer", LEGITIMATE, 3)]


@pytest.mark.parametrize(
    ("policy", "facts", "named"),
    [
        ("LABELER_PRIORITY", TAKEN_BACK[:2], [2]),
        ("LABELER_PRIORITY", TAKEN_BACK, [2, 3]),
        ("LABELER_PRIORITY", [*TAKEN_BACK, ("chargeback", FRAUD, 9)], [4]),
        ("LABELER_PRIORITY", TAKEN_BACK[1:], [2]),
        ("LABELER_PRIORITY", VOTES, [1]),
        ("LAST_WRITE_WINS", TAKEN_BACK, [2, 3]),
        ("LAST_WRITE_WINS", [*TAKEN_BACK, ("customer", FRAUD, 9)], [4]),
        ("LAST_WRITE_WINS", VOTES, [3]),
        ("MAJORITY_VOTE", VOTES, [1, 2, 3]),
        ("MAJORITY_VOTE", [*TAKEN_BACK, *VOTES], [2, 4, 6]),
    ],
)
def test_what_makes_a_verdict_stand_is_its_carrier_withdrawals_above_it_and_by_majority_every_vote(
    policy: ConflictPolicy, facts: list[tuple[str, LabelValue, int]], named: list[int]
) -> None:
    table = table_of([("t1", *fact) for fact in facts]).with_columns(position=pl.int_range(1, len(facts) + 1))
    found = standing_facts(table.lazy(), ConflictRule(policy, SOURCES)).collect()
    assert sorted(found["position"].to_list()) == named
