"""A small service for tests: its configuration, transactions, and a server process."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fraud.client import Client
from fraud.clock import DAY_US
from fraud.settings import Settings, load_settings
from fraud.v1.transaction_pb2 import Transaction

START_US = 1_700_000_000_000_000
START_S = 180.0
"""Within this a scorer serves, answers and ends, however busy the machine is: patience costs nothing."""

CONFIG = """
[service]
data_dir = "data"
clock = "log"
currency = "EUR"

[schema.entities.card]
[schema.entities.merchant]
[schema.entities.device]
required = false
[schema.numeric.distance]
min = 0
[schema.categorical.channel]
required = true

[features]
calendar = ["hour", "night"]
entities_max = 5000
[features.entities.card]
windows = ["1h", "24h", "7d"]
aggregates = ["count", "sum", "mean", "max", "std", "amount_over_mean", "small_count", "declined_count"]
small_amount_minor = 2000
steps = { ratio = 1.5 }
distinct = ["merchant"]
since = ["previous", "first"]
[features.entities.merchant]
windows = ["24h"]
aggregates = ["count", "mean"]
fraud_rates = [{ width = "7d", delay = "1d" }]
[features.entities.device]
windows = ["24h"]
aggregates = ["count"]
distinct = ["card"]

[models.card]
[models.card.policy]
review = { share = 0.03 }
[models.transfer]
no_champion = "REVIEW"

[labels]
maturity = "1d"

[training]
embargo = "0s"
calibration = "2d"
evidence = "3d"
frauds_min = 10
cpus = 1
[training.triggers]
every = "never"
hold_down = "0s"
per_day_max = 1000
[training.recipes.full]
kind = "full"
rounds = 20
max_depth = 3
max_bin = 64

[gate]
evidence_frauds_min = 10
evidence_attacks_min = 1
alert_share = 0.03
bootstrap_rounds = 20

[server]
port = 0
message_bytes_max = 65536
batch_rows_max = 50
label_rows_max = 200
ledger_poll = "20ms"
self_score_every = "1s"
wait_max = "60s"

[log]
snapshot_every_events = 1000

[monitoring]
scorer_port = -1
retrainer_port = -1
"""


def settings_in(folder: Path, **environment: str) -> Settings:
    """Write the configuration into `folder` and load it."""
    path = folder / "fraud.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return load_settings(path, environment)


def train_at_once(folder: Path) -> None:
    """Let training on this folder give way to nobody: beside other tests cores are seldom idle."""
    path = folder / "fraud.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count("\ncpus = 1\n") == 1
    path.write_text(text.replace("\ncpus = 1\n", "\ncpus = 1\nniceness = 0\n"), encoding="utf-8")


@dataclass
class Stream:
    """A seeded stream of payments; frauds are large, at odd merchants, on new devices."""

    seed: int = 1
    now_us: int = START_US
    count: int = 0
    frauds: list[Transaction] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def next(self, *, model: str = "card", step_us: int = 60_000_000) -> Transaction:
        """Return the next payment; one in twenty-five is a fraud and noted in `frauds`."""
        pick = self.random
        self.now_us += pick.randrange(step_us)
        self.count += 1
        fraud = pick.random() < 0.04
        wire = Transaction(
            transaction_id=f"t{self.seed}-{self.count}",
            event_time_us=self.now_us,
            model=model,
            amount_minor=pick.randrange(40_000, 90_000) if fraud else pick.randrange(100, 20_000),
            currency="EUR",
            entities={"card": f"c{pick.randrange(200)}", "merchant": f"m{pick.randrange(40)}"},
            categoricals={"channel": pick.choice(["web", "shop"])},
        )
        if pick.random() < 0.7:
            wire.numerics["distance"] = pick.random() * (500 if fraud else 50)
        if fraud or pick.random() < 0.5:
            wire.entities["device"] = f"d{pick.randrange(5 if fraud else 150)}"
        if fraud:
            self.frauds.append(wire)
        return wire

    def take(self, rows: int, *, model: str = "card", step_us: int = 60_000_000) -> list[Transaction]:
        """Return the next `rows` payments."""
        return [self.next(model=model, step_us=step_us) for _ in range(rows)]

    def skip_days(self, days: float) -> None:
        """Let time pass."""
        self.now_us += int(days * DAY_US)


@dataclass
class Process:
    """A scorer in a process of its own."""

    child: subprocess.Popen[str]
    port: int

    @property
    def target(self) -> str:
        """Where its gRPC server listens."""
        return f"127.0.0.1:{self.port}"

    def client(self, **options: float) -> Client:
        """Return a client with a patient deadline."""
        return Client(self.target, deadline_s=options.get("deadline_s", START_S))

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """SIGTERM, and return the exit status."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(timeout=START_S)


SERVE = """
import os, sys
from pathlib import Path
from fraud.serving.server import run
from fraud.settings import load_settings
run(load_settings(Path(sys.argv[1]), os.environ), lambda port: print(port, flush=True))
"""


def start(folder: Path, **environment: str) -> Process:
    """Start a scorer on the folder's configuration and wait until it serves."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder / "fraud.toml")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert child.stdout is not None
    limit = threading.Timer(START_S, child.kill)
    limit.start()
    try:
        for line in child.stdout:
            if line.strip().isdigit():
                # Nobody reads what it says from here on; a full pipe would stop it.
                threading.Thread(target=deque, args=(child.stdout, 0), daemon=True).start()
                return Process(child, int(line))
    finally:
        limit.cancel()
    raise AssertionError(
        f"the scorer ended with status {child.wait()} before it served; it has {START_S:g} s"
    )


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Process]:
    """Run a scorer for the body of a `with`, on a fresh configuration if there is none."""
    if not (folder / "fraud.toml").exists():
        settings_in(folder)
    process = start(folder, **environment)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.kill()
