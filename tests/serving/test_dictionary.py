from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.eventlog import Erasure, MemoryEventLog, NewToken
from fraud.serving.dictionary import EntityDictionary

STEPS = st.lists(
    st.tuples(st.sampled_from(["came", "erased", "restarted"]), st.sampled_from("abcd")), max_size=30
)


def test_tokens_get_dense_surrogates_per_entity() -> None:
    dictionary = EntityDictionary(2)
    assert [dictionary.surrogates((token, "shop")) for token in "aba"] == [(0, 0), (1, 0), (0, 0)]
    assert dictionary.surrogates((None, "other")) == (-1, 1)
    assert dictionary.peek(("c", "shop")) == (-1, 0)
    assert len(dictionary.take_new()) == len(dictionary) == 4
    assert dictionary.take_new() == []


def test_a_forgotten_surrogate_is_not_given_again() -> None:
    dictionary = EntityDictionary(1, [NewToken(0, 0, "a"), NewToken(0, 1, "b")])
    dictionary.forget([NewToken(0, 1, "b"), NewToken(0, 7, "never there")])
    assert dictionary.peek(("b",)) == (-1,)
    assert dictionary.surrogates(("b",)) == (2,)


def test_gaps_that_the_log_knows_of_stay_gaps() -> None:
    dictionary = EntityDictionary(2, [NewToken(0, 0, "a")], {0: 5, 1: 2})
    assert dictionary.surrogates(("b", "shop")) == (5, 2)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(steps=STEPS)
def test_no_surrogate_ever_stands_for_two_whatever_is_erased_and_restarted(
    steps: list[tuple[str, str]],
) -> None:
    log = MemoryEventLog()
    dictionary = EntityDictionary(1)
    holders: dict[int, list[str]] = {}
    for step, token in steps:
        if step == "came":
            (surrogate,) = dictionary.surrogates((token,))
            log.append([], 1, dictionary.take_new())
            holders.setdefault(surrogate, [token])
            assert holders[surrogate] == [token]
        elif step == "restarted":
            dictionary = EntityDictionary(1, log.tokens(), log.next_surrogates())
        elif (surrogate := dictionary.peek((token,))[0]) != -1:
            taken = log.begin_erasure(Erasure(0, surrogate, log.head(), 1, "dpo", "request"))
            dictionary.forget(taken)
            holders[surrogate] = ["nobody any more"]
