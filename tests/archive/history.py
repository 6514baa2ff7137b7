"""A schema, and logs with every kind of event in them."""

import random

from fraud.records import Event, Heading, Outcome
from fraud.settings.schema import Schema
from tests.eventlog.events import applied, labels, outcomes, scored

SCHEMA = Schema.model_validate(
    {
        "entities": {"card": {}, "merchant": {"required": False}},
        "numeric": {"age": {}, "distance": {}},
        "categorical": {"channel": {}, "country": {}},
    }
)
FEATURES = {"amount": "amount", "hour": "hour in UTC", "card_count_1h": "count of card over 1h"}
HEADING = Heading(("age", "distance"), ("channel", "country"), tuple(FEATURES.items()))


def history(n: int, seed: int, start: int = 0) -> list[Event]:
    """Return `n` events of mixed kinds; ids carry the running number from `start`."""
    random_ = random.Random(seed)
    events: list[Event] = []
    for i in range(start, start + n):
        draw = random_.random()
        if draw < 0.1:
            events.append(labels(f"b{i}", n=random_.randrange(4)))
        elif draw < 0.2:
            events.append(outcomes(*[f"t{i - k}" for k in range(random_.randrange(3))]))
        elif draw < 0.25:
            events.append(applied("card", f"card-{i}", i))
        else:
            features = (float(i), random_.random(), float("nan"))
            events.append(scored(f"t{i}", random_.choice(list(Outcome)), "card", features))
    return events
