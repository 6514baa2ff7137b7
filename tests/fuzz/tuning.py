"""How much is tried, and with which seed: the same in each run of the tests, another one when asked for.

FRAUD_FUZZ_SEED=7 FRAUD_FUZZ_TIMES=20 python -m pytest tests/fuzz
"""

import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, seed, settings

SEED: Final = int(os.environ.get("FRAUD_FUZZ_SEED", "20261128"))
TIMES: Final = int(os.environ.get("FRAUD_FUZZ_TIMES", "1"))
"""So many times the inputs of an ordinary run."""


def tuned(examples: int) -> Callable[[Any], Any]:
    """Return a decorator for a `given` function: `examples` inputs, `SEED`, and no time limit for one.

    What fails is told with the bytes that did it and the seed that found them.
    """

    def decorate(test: Any) -> Any:
        tried = settings(
            max_examples=examples * TIMES,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        return seed(SEED)(tried(test))

    return decorate
