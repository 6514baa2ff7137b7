"""Ray Serve with the same booster: predict only, over its gRPC proxy.

The deployment itself is `rayserve_app.py`, which runs in the peer's environment. A
request is the feature row as float32 in a `google.protobuf.BytesValue`, the leanest
message there is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from google.protobuf.wrappers_pb2 import BytesValue
from numpy.typing import NDArray

from benchmarks.peers.environments import RAYSERVE
from benchmarks.peers.rayserve_app import METHOD, SERVICE
from benchmarks.processes import Server, running
from fraud.adversary.stage import free_port

PATH = f"/{SERVICE}/{METHOD}"
_APP = Path(__file__).with_name("rayserve_app.py")


@contextmanager
def serve(booster: bytes, folder: Path, core: int | None) -> Iterator[Server]:
    """Run Ray Serve with a booster (UBJ) until the block ends; `folder` is filled anew."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.ubj"
    model.write_bytes(booster)
    port = free_port()
    command = [str(RAYSERVE.python), str(_APP), "--port", str(port), "--http-port", str(free_port())]
    log = folder / "server.log"

    def ready(_address: str) -> bool:
        return "ready to predict" in log.read_text(errors="replace")

    with running(
        "Ray Serve",
        [*command, "--model", str(model)],
        port,
        log=log,
        ready=ready,
        core=core,
        environment=RAYSERVE.environment(),
    ) as server:
        yield server


def templates(rows: NDArray[np.float32]) -> list[bytes]:
    """Return a request per row of `rows`, float32[n, F]; they carry no id."""
    return [BytesValue(value=row.astype("<f4").tobytes()).SerializeToString() for row in rows]


def prediction(answer: bytes) -> float:
    """Return the number in an answer."""
    return float(np.frombuffer(BytesValue.FromString(answer).value, "<f4")[0])
