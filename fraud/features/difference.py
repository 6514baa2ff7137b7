"""Where recomputed features differ from logged ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.errors import NotAllowedNow
from fraud.records import Entry, Scored


def first_difference(
    run: Sequence[Entry], features: NDArray[np.float32], names: Sequence[str]
) -> dict[str, Any] | None:
    """Return the first feature that is not what was logged, or None; bits count, so NaN equals itself.

    `features` is float32[len(run), len(names)], recomputed.

    Raises:
        NotAllowedNow: the log was written with another number of features.
    """
    scored = [entry.event for entry in run if isinstance(entry.event, Scored)]
    logged = np.frombuffer(b"".join(event.features for event in scored), dtype="<f4")
    if logged.size != features.size:
        at = run[0].position
        raise NotAllowedNow(
            f"the log near {at} holds other features than the configuration; use the one it was written with"
        )
    logged = logged.reshape(features.shape)
    differs = np.argwhere(logged.view(np.uint32) != np.ascontiguousarray(features).view(np.uint32))
    if not len(differs):
        return None
    row, column = (int(index) for index in differs[0])
    return {
        "position": run[row].position,
        "transaction_id": scored[row].transaction_id,
        "feature": names[column],
        "logged": float(logged[row, column]),
        "recomputed": float(features[row, column]),
    }
