"""Where the trees of a booster split: the values at which a feature changes the margin, and only there."""

import json

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.boosting import load_booster


def split_values(raw: bytes) -> dict[int, NDArray[np.float32]]:
    """Return the rising split values of each column that is split as a number, float32[k].

    A row goes left where its value is below the split, so the margin is constant
    between neighbouring values, the lower one included. `raw` are UBJ bytes.
    """
    model = json.loads(bytes(load_booster(raw).save_raw("json")))
    found: dict[int, list[float]] = {}
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        kinds = tree["split_type"]
        for node, column in enumerate(tree["split_indices"]):
            if tree["left_children"][node] >= 0 and not kinds[node]:
                found.setdefault(column, []).append(tree["split_conditions"][node])
    return {column: np.unique(np.array(values, np.float32)) for column, values in found.items()}
