"""Confirmed attacks in the ledger: what is refused, what ends, what is in force."""

from pathlib import Path
from typing import Any

import pytest

from fraud.errors import InvalidInput, NotAllowedNow, NotFound
from fraud.registry.attacks import ATTACKS_MAX
from fraud.registry.store import LedgerStore
from tests.registry.entries import add


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "card", "entities": {"merchant": 17}, "words": {}, "since_us": 5, **changes}


@pytest.fixture
def store(tmp_path: Path) -> LedgerStore:
    return LedgerStore.open(tmp_path / "ledger.sqlite")


def test_a_confirmed_attack_is_in_force_until_it_ends(store: LedgerStore) -> None:
    seq = add(store, "AttackConfirmed", body(words={"country": "BR"}), time_us=9).seq
    (attack,) = store.state().attacks.values()
    assert (attack.seq, attack.model, attack.since_us, attack.confirmed_us) == (seq, "card", 5, 9)
    assert (attack.entities, attack.words) == ((("merchant", 17),), (("country", "BR"),))
    assert (attack.actor, attack.reason) == ("ann", "test")
    add(store, "AttackEnded", {"attack": seq})
    assert store.state().attacks == {}
    with pytest.raises(NotFound, match="confirms no attack in force"):
        add(store, "AttackEnded", {"attack": seq})


def test_an_attack_that_is_everything_is_refused(store: LedgerStore) -> None:
    with pytest.raises(InvalidInput, match="say what tells the attack apart"):
        add(store, "AttackConfirmed", body(entities={}))


def test_attacks_in_force_are_bounded_per_model(store: LedgerStore) -> None:
    first = add(store, "AttackConfirmed", body()).seq
    for _ in range(ATTACKS_MAX - 1):
        add(store, "AttackConfirmed", body())
    with pytest.raises(NotAllowedNow, match="as many as it may; end one"):
        add(store, "AttackConfirmed", body())
    add(store, "AttackConfirmed", body(model="transfer"))
    add(store, "AttackEnded", {"attack": first})
    add(store, "AttackConfirmed", body())
