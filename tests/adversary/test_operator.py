"""The operator beside a running service: what the guard names is cut out, by calls anybody could make."""

from pathlib import Path

from fraud.adversary.incident import Operator
from fraud.labels.exclusions import Exclusion
from fraud.registry.store import LedgerStore
from tests.serving.registered import polluted

SUSPECT = Exclusion("labels", source="analyst", submitter="mallory", to_us=2**60)


def test_a_freeze_is_acted_upon_on_its_second_evening_and_a_submitter_is_shut_out(tmp_path: Path) -> None:
    with polluted(tmp_path) as world:
        operator = Operator(world.client, "card")
        suspects = [("models do not believe mallory", SUSPECT)]
        assert operator.act(5, frozen=True, suspects=suspects) == []
        (repair,) = operator.act(6, frozen=True, suspects=suspects)
        assert (repair.labels, repair.before, repair.after) == (4, "card-2", "card-1")
        assert repair.tainted == ("card-2", "card-3")
        ledger = LedgerStore.open(world.ledger.settings.places.ledger, writable=False)
        (entry,) = [entry for entry in ledger.read(0) if entry.kind == "DataExcluded"]
        ledger.close()
        told = Exclusion.from_dict(entry.body["exclusion"])
        assert told == Exclusion("labels", source="analyst", submitter="mallory"), "those to come, too"
        assert operator.act(7, frozen=True, suspects=suspects) == [], "it waits for the next cycle"


def test_nothing_is_done_while_the_data_is_fit(tmp_path: Path) -> None:
    with polluted(tmp_path) as world:
        operator = Operator(world.client, "card")
        for day in range(3):
            assert operator.act(day, frozen=False, suspects=[("noted", SUSPECT)]) == []
        assert not world.client.list_exclusions()
