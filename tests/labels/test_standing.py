"""The book of labels against a full recount: the same changes, for as many transactions as are concerned."""

from collections.abc import Callable
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.labels.exclusions import Exclusion, View
from fraud.labels.standing import ConflictPolicy, ConflictRule, LabelBook, LabelFact
from fraud.records import LabelValue

FRAUD, LEGITIMATE, WITHDRAWN = LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN
SOURCES = ("chargeback", "analyst", "customer")
RULE = ConflictRule("LABELER_PRIORITY", SOURCES)
NAMES = st.sampled_from(["t1", "t2", "t3", "t4"])
BATCHES = st.sampled_from(["b1", "b2", "b3"])
FACTS = st.builds(
    LabelFact,
    st.sampled_from([FRAUD, FRAUD, LEGITIMATE, WITHDRAWN]),
    st.sampled_from([*SOURCES, "hearsay"]),
    st.integers(1, 4),
    BATCHES,
    st.sampled_from(["ann", "eve"]),
    st.integers(1, 9),
)
EXCLUSIONS = st.builds(
    lambda batch_id, source, submitter, start: Exclusion("labels", batch_id, source, submitter, start),
    st.sampled_from(["", "b1", "b2"]),
    st.sampled_from(["", "", "analyst"]),
    st.sampled_from(["", "", "eve"]),
    st.integers(1, 9),
)
STEPS = st.one_of(
    st.tuples(st.just("report"), NAMES, st.lists(FACTS, min_size=1, max_size=5)),
    st.tuples(st.just("retract"), BATCHES),
    st.tuples(st.just("see"), st.lists(EXCLUSIONS, max_size=2)),
    st.tuples(st.just("forget"), st.lists(NAMES, max_size=2)),
    st.tuples(st.just("restore")),
)


class Plain:
    """The obvious book: everything is counted anew at each change."""

    def __init__(self, rule: ConflictRule) -> None:
        self.rule = rule
        self.view = View()
        self.retracted: set[str] = set()
        self.facts: dict[str, list[LabelFact]] = {}

    def frauds(self) -> dict[str, bool]:
        return {name: self.standing(name) is FRAUD for name in self.facts}

    def standing(self, name: str) -> LabelValue | None:
        counted = [
            fact
            for fact in self.facts.get(name, [])
            if fact.batch_id not in self.retracted
            and not self.view.hides_label(fact.batch_id, fact.source, fact.submitter, fact.arrival_us)
        ]
        return self.rule.standing(counted)

    def change(self, what: Callable[[], None]) -> dict[str, int]:
        before = self.frauds()
        what()
        after = self.frauds()
        return {
            name: after.get(name, False) - before.get(name, False)
            for name in after
            if after.get(name, False) != before.get(name, False)
        }


class Counting(LabelBook):
    """Keeps the longer way from the second fact on, and notes whom it was asked for."""

    FACTS_READ = 1

    def __init__(self, rule: ConflictRule) -> None:
        super().__init__(rule)
        self.asked: list[str] = []

    def standing(self, transaction_id: str) -> LabelValue | None:
        self.asked.append(transaction_id)
        return super().standing(transaction_id)


def taken(book: LabelBook, plain: Plain, step: Any) -> LabelBook:
    """Take a step in both books, which must agree on what it changes; return the book to go on with."""
    kind, *given_ = step
    if kind == "report":
        name, facts = given_
        for fact in facts:
            change = plain.change(lambda fact=fact: plain.facts.setdefault(name, []).append(fact))  # type: ignore[misc]
            assert book.report(name, fact) == change.get(name, 0)
    elif kind == "retract":
        assert dict(book.retract(given_[0])) == plain.change(lambda: plain.retracted.add(given_[0]))
    elif kind == "see":
        view = View(tuple(given_[0]))
        assert dict(book.see(view)) == plain.change(lambda: setattr(plain, "view", view))
    elif kind == "forget":
        book.forget(given_[0])
        for name in given_[0]:
            plain.facts.pop(name, None)
    else:
        again = type(book)(book.rule)
        again.restore(book.view, sorted(book.retracted), {name: [*held] for name, held in book.facts.items()})
        return again
    return book


@settings(max_examples=400, deadline=None, print_blob=True)
@given(st.lists(STEPS, max_size=25), st.sampled_from(get_args(ConflictPolicy)), st.booleans())
def test_what_changes_is_what_a_full_recount_finds(
    steps: list[Any], policy: ConflictPolicy, many: bool
) -> None:
    rule = ConflictRule(policy, SOURCES)
    plain = Plain(rule)
    book: LabelBook = Counting(rule) if many else LabelBook(rule)
    for step in steps:
        book = taken(book, plain, step)
        assert {name: book.standing(name) for name in ("t1", "t2", "t3", "t4", "t5")} == {
            name: plain.standing(name) for name in ("t1", "t2", "t3", "t4", "t5")
        }
        assert book.facts == plain.facts


def book_of(transactions: int, per_batch: int) -> Counting:
    """Frauds by the analyst, in batches that ann and eve hand in by turns, one at each moment."""
    book = Counting(RULE)
    for i in range(transactions):
        batch = i // per_batch
        book.report(f"t{i}", LabelFact(FRAUD, "analyst", 1, f"b{batch}", ("ann", "eve")[batch % 2], batch))
    book.asked.clear()
    return book


def test_a_retraction_recounts_the_transactions_of_its_batch_and_no_others() -> None:
    book = book_of(1_000, per_batch=10)
    book.report("t77", LabelFact(FRAUD, "chargeback", 1, "b3"))
    changes = book.retract("b3")
    assert changes == [(f"t{i}", -1) for i in range(30, 40)]
    assert sorted(book.asked) == sorted(2 * [f"t{i}" for i in (*range(30, 40), 77)])
    book.asked.clear()
    assert book.retract("b3") == book.retract("unheard") == []
    assert book.asked == []


def test_another_view_recounts_the_transactions_whose_facts_come_or_go() -> None:
    book = book_of(1_000, per_batch=10)
    by_batch, by_time = Exclusion("labels", batch_id="b5"), Exclusion("labels", submitter="eve", from_us=90)
    for view, expected in (
        (View((by_batch,)), range(50, 60)),
        (View((by_batch, by_time)), [i for i in range(900, 1_000) if i // 10 % 2]),
        (View((by_batch, by_time, Exclusion("labels", batch_id="b91"))), []),  # b91 is by eve: hidden before
        (
            View((by_batch, Exclusion("labels", batch_id="b91"))),
            [i for i in range(920, 1_000) if i // 10 % 2],
        ),
    ):
        book.asked.clear()
        book.see(view)
        assert sorted(book.asked) == sorted(2 * [f"t{i}" for i in expected])


def test_what_is_forgotten_is_recounted_no_more() -> None:
    book = book_of(20, per_batch=10)
    book.forget([f"t{i}" for i in range(5)])
    assert book.retract("b0") == [(f"t{i}", -1) for i in range(5, 10)]
    book.forget([f"t{i}" for i in range(20)])
    assert (book._named, book._latest) == ({}, {})


def test_a_label_on_a_transaction_with_many_reads_none_of_the_others() -> None:
    class Read(list[LabelFact]):
        """Facts of one transaction; notes each time somebody goes through them."""

        times = 0

        def __iter__(self) -> Any:
            Read.times += 1
            return super().__iter__()

    book = LabelBook(RULE)
    book.facts["t"] = Read()
    for i in range(1_000):
        value = (FRAUD, LEGITIMATE)[i % 2]
        assert book.report("t", LabelFact(value, "analyst", i, f"b{i}")) == (1 if i == 0 else (-1) ** i)
    assert Read.times == book.FACTS_READ + 1
