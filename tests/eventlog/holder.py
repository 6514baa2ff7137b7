"""A process that locks a data folder and holds it until its input ends.

python -m tests.eventlog.holder DATA_DIR    says "held"
"""

import sys
from pathlib import Path

from fraud.eventlog import lock_data_folder


def main() -> None:
    with lock_data_folder(Path(sys.argv[1])):
        sys.stdout.write("held\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
