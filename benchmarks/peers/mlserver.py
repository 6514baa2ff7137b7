"""MLServer with its own XGBoost runtime: predict only, over the V2 inference protocol.

No code of ours runs in it: a folder with `settings.json`, `model-settings.json` and
the booster is what its users write. Requests are encoded here, field by field of
`inference.GRPCInferenceService/ModelInfer`, so its package is not needed to build them.
"""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import ID_MARK, varint
from benchmarks.peers.environments import MLSERVER
from benchmarks.processes import Server, is_connectable, running
from fraud.adversary.stage import free_port

PATH = "/inference.GRPCInferenceService/ModelInfer"
MODEL = "card"


@contextmanager
def serve(booster: bytes, folder: Path, core: int | None) -> Iterator[Server]:
    """Run MLServer with a booster (UBJ) until the block ends; `folder` is filled anew."""
    folder.mkdir(parents=True, exist_ok=True)
    port, http_port = free_port(), free_port()
    settings = {
        "host": "127.0.0.1",
        "http_port": http_port,
        "grpc_port": port,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": MODEL,
        "implementation": "mlserver_xgboost.XGBoostModel",
        "parameters": {"uri": "./model.ubj"},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "model.ubj").write_bytes(booster)
    command = [str(MLSERVER.folder / "bin" / "mlserver"), "start", str(folder)]
    log = folder / "server.log"

    def ready(address: str) -> bool:
        return is_connectable(address) and f"Loaded model '{MODEL}'" in log.read_text(errors="replace")

    with running(
        "MLServer", command, port, log=log, ready=ready, core=core, environment=MLSERVER.environment()
    ) as server:
        yield server


def templates(rows: NDArray[np.float32]) -> list[bytes]:
    """Return a `ModelInferRequest` per row of `rows`, float32[n, F], with a mark for its id."""
    return [_request(row) for row in rows]


def _request(row: NDArray[np.float32]) -> bytes:
    values = row.astype("<f4").tobytes()
    shape = varint(1) + varint(len(row))
    tensor = _field(1, b"input-0") + _field(2, b"FP32") + _field(3, shape) + _field(5, _field(6, values))
    return _field(1, MODEL.encode()) + _field(3, ID_MARK.encode()) + _field(5, tensor)


def _field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def prediction(answer: bytes) -> float:
    """Return the number in a `ModelInferResponse` of one row, as raw bytes or packed floats."""
    outputs = [payload for number, payload in _fields(answer) if number == 5]
    raw = [payload for number, payload in _fields(answer) if number == 6]
    if raw:
        return float(struct.unpack("<f", raw[0])[0])
    contents = next(payload for number, payload in _fields(outputs[0]) if number == 5)
    return float(struct.unpack("<f", next(p for n, p in _fields(contents) if n == 6))[0])


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and payload of the length-delimited fields at the top of a message."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        length, at = _read_varint(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + length]
            at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
