"""The switch of exploration is a fold over the ledger."""

from pathlib import Path

import pytest

from fraud.errors import InvalidInput
from fraud.registry import LedgerStore
from tests.registry.entries import add


def test_a_model_explores_until_it_is_switched_off_and_again_when_switched_on(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    assert store.state().explores("card")
    add(store, "ExplorationSwitched", {"model": "card", "on": False})
    assert not store.state().explores("card")
    assert store.state().explores("transfer")
    add(store, "ExplorationSwitched", {"model": "card", "on": True}, time_us=5)
    assert store.state().explores("card")
    assert store.state().exploration_switches["card"].time_us == 5


def test_a_switch_is_true_or_false(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    with pytest.raises(InvalidInput, match="give true or false"):
        add(store, "ExplorationSwitched", {"model": "card", "on": "off"})
    with pytest.raises(InvalidInput, match=r"body\.on"):
        add(store, "ExplorationSwitched", {"model": "card"})
    assert store.head() == 0
