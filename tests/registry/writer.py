"""A process that appends entries to a ledger and promotes in turn with a rival.

    python -m tests.registry.writer LEDGER NAME ENTRIES    says "STALE APPENDED PROMOTED" at the end

Every other entry is a compare-and-swap on the head it has just read; each
round it also tries to promote its own version over the champion it has seen.
"""

import sys
from pathlib import Path

from fraud.errors import NotAllowedNow, StaleHead
from fraud.registry import LedgerStore, promote
from tests.registry.entries import registered


def main() -> None:
    path, name, entries = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    store = LedgerStore.open(path)
    store.append("VersionRegistered", registered(f"card-{name}"), actor=name, reason="", time_us=0)
    stale = promoted = appended = 0
    while appended < entries:
        head = store.head() if appended % 2 else None
        body = {"model": "", "cut_position": appended, "cut_time_us": 0, "trigger": "hand"}
        try:
            store.append("RetrainRequested", body, actor=name, reason="", time_us=0, expected_head=head)
            appended += 1
        except StaleHead:
            stale += 1
        champion = store.state().champion("card")
        try:
            promote(store, "card", f"card-{name}", champion, actor=name, reason="", time_us=0)
            promoted += 1
        except NotAllowedNow:  # the rival was first, or it is champion already
            pass
    sys.stdout.write(f"{stale} {appended} {promoted}\n")


if __name__ == "__main__":
    main()
