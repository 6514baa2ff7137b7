"""A process that copies the log into the archive until told otherwise.

python -m tests.archive.copier LOG ARCHIVE UPTO    says "copied POSITION" after each round
"""

import sys
from pathlib import Path

from fraud.archive import Archive
from fraud.errors import NotFound
from fraud.eventlog import SqliteEventLog
from tests.archive.history import FEATURES, SCHEMA


def main() -> None:
    log_path, folder, upto = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    try:
        log = SqliteEventLog.open(log_path, writable=False, entity_names=SCHEMA.entity_names)
    except NotFound as error:
        sys.exit(str(error))
    archive = Archive(folder, SCHEMA, FEATURES)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    position = 0
    while position < upto:
        position = archive.copy_from(log, rows_max=40)
        sys.stdout.write(f"copied {position}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
