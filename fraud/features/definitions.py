"""What each feature means, in a short text that changes when its meaning does.

    card_count_7d   ─►   count of card over 7d by 14h

Names leave out hops, bounds and the time zone; two features are the same when name
and definition are. The texts stand in logs, archives and manifests: reword one, and
the feature counts as another from then on.
"""

from collections.abc import Iterator, Sequence

from fraud.settings.durations import format_duration
from fraud.settings.features import Aggregate, Calendar, EntityFeatures

AGGREGATES: tuple[Aggregate, ...] = ("count", "sum", "mean", "max", "std", "amount_over_mean")
TALLIES: tuple[Aggregate, ...] = ("small_count", "declined_count")

Defined = Iterator[tuple[str, str]]
"""Features in order, name and definition."""


def plain(
    calendar: Sequence[Calendar], zone: str, night: tuple[int, int], numerics: Sequence[str]
) -> Defined:
    """Return the features that a payment has by itself."""
    yield "amount", "amount in base currency"
    for name in calendar:
        hours = f" from {night[0]} to {night[1]}" if name == "night" else ""
        yield name, f"{name}{hours} in {zone}"
    yield from ((name, "numeric field") for name in numerics)


def of_entity(name: str, entity: EntityFeatures, *, buckets: int, age_max_us: int | None) -> Defined:
    """Return the features of one entity kind; `age_max_us` None: ages have no end."""
    for window in entity.windows:
        span = f"over {window.name} by {format_duration(window.hop)}"
        for aggregate in AGGREGATES + TALLIES:
            if aggregate in entity.aggregates:
                small = f" up to {entity.small_amount_minor}" if aggregate == "small_count" else ""
                yield f"{name}_{aggregate}_{window.name}", f"{aggregate}{small} of {name} {span}"
        for other in entity.distinct:
            counted = f"distinct {other} of {name} {span} in {buckets} buckets"
            yield f"{name}_distinct_{other}_{window.name}", counted
    if "previous" in entity.since:
        yield f"{name}_since_previous_s", f"seconds since previous of {name}"
    if "first" in entity.since:
        end = "" if age_max_us is None else f" up to {format_duration(age_max_us)}"
        yield f"{name}_age_s", f"seconds since first of {name}{end}"
    if entity.steps is not None:
        yield f"{name}_amount_over_previous", f"amount over previous of {name}"
        steps = f"{entity.steps.ratio_thousandths} thousandths within {format_duration(entity.steps.within)}"
        yield f"{name}_steps", f"steps of {name} up to {steps}"
    for rate in entity.fraud_rates:
        span = f"over {format_duration(rate.width)} by {format_duration(rate.hop)}"
        delay = format_duration(rate.delay)
        yield f"{name}_fraud_rate_{rate.name}", f"fraud rate of {name} {span}, {delay} ago"
