"""What served when: a running fold over the Applied entries of a log."""

from fraud.eventlog import MemoryEventLog
from fraud.records import Applied
from fraud.serving.service_record import ServiceRecord, applied_of


def filled() -> tuple[MemoryEventLog, ServiceRecord]:
    log = MemoryEventLog()
    for arrival_us, event in [
        (10, Applied(1, "card", "card-1", "p1")),
        (20, Applied(2, "transfer", "transfer-1", "p1")),
        (30, Applied(3, "", "", "", '[{"batch_id":"b","what":"labels"}]')),
        (40, Applied(4, "card", "card-1", "p1", refused="card-2: damaged")),
        (40, Applied(5, "card", "", "")),
    ]:
        log.append([event], arrival_us, [])
    return log, ServiceRecord(log)


def test_what_served_at_a_moment_is_the_last_that_was_put_in_service_by_then() -> None:
    _, record = filled()
    found = [record.served_at("card", at_us) for at_us in (9, 10, 39, 40, 99)]
    assert [entry and applied_of(entry).ledger_seq for entry in found] == [None, 1, 1, 5, 5]
    assert record.served_at("loan", 99) is None


def test_new_entries_are_seen_and_old_ones_are_read_once() -> None:
    log, record = filled()
    before = record.entries()
    log.append([Applied(6, "card", "card-3", "p1")], 50, [])
    after = record.entries()
    assert after[:-1] == before
    assert all(one is other for one, other in zip(before, after, strict=False))
    assert {model: applied_of(entry).ledger_seq for model, entry in record.last().items()} == {
        "card": 6,
        "transfer": 2,
        "": 3,
    }


def test_pages_run_backwards_and_hold_what_concerns_the_model_or_all() -> None:
    _, record = filled()

    def positions(model: str, before: int, limit: int) -> list[int]:
        return [entry.position for entry in record.newest(model, before, limit)]

    assert positions("", 0, 9) == [5, 4, 3, 2, 1]
    assert positions("card", 0, 9) == [5, 4, 3, 1]
    assert positions("card", 0, 2) == [5, 4]
    assert positions("card", 4, 2) == [3, 1]
