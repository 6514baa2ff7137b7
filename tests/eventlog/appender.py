"""A process that appends in a loop and says what is acknowledged.

python -m tests.eventlog.appender LOG ROUND    each line: "BATCH FIRST_POSITION N", after append returned
"""

import itertools
import sys
from pathlib import Path

from fraud.eventlog import NewToken, SqliteEventLog
from tests.eventlog.events import labels, scored


def main() -> None:
    path, round_ = Path(sys.argv[1]), sys.argv[2]
    log = SqliteEventLog.open(path, writable=True, entity_names=["card", "merchant"])
    for batch in itertools.count():
        n = 1 + batch % 7
        events = [scored(f"{round_}-{batch}-{i}") for i in range(n)]
        position = log.append(
            [*events, labels(f"{round_}-{batch}")], batch, [NewToken(int(round_), batch, f"token-{batch}")]
        )
        sys.stdout.write(f"{batch} {position} {n}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
