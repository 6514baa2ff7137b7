"""Which bundles may go. Pure: what is decided here is done by `fraud archive vacuum`.

    kept, first reason that holds
      champion · serves · served within the span of permitted rollbacks, or when that began
      last clean champion (what an exclusion would fall back to) · challenger awaiting evidence
      the first champion, where quality is held against it (`monitoring.reference`)
      judged or registered too recently · parent of a kept one, all the way up
    everything else goes; its manifest stays in the ledger

What served is asked of both logs. The ledger says what was intended; where a
version failed its self-test, another one went on serving.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fraud.records import Applied, Entry
from fraud.registry.ledger import RegistryState
from fraud.registry.reference import reference_of
from fraud.registry.version import VersionState
from fraud.settings.durations import format_duration
from fraud.settings.retention import Retention


@dataclass(frozen=True, slots=True)
class Service:
    """A version put in service at a moment, µs UTC; "" for no champion."""

    model: str
    version: str
    since_us: int


@dataclass(frozen=True, slots=True)
class BundleFate:
    """What becomes of one bundle, and why. `versions` have it in common, oldest first."""

    digest: str
    versions: tuple[str, ...]
    kept: bool
    why: str


def services(applied: Iterable[Entry]) -> list[Service]:
    """Return what the Applied entries of the event log put in service, in order."""
    return [
        Service(event.model, event.version, entry.arrival_time_us)
        for entry in applied
        if isinstance(event := entry.event, Applied) and event.model and not event.refused
    ]


def bundle_fates(
    state: RegistryState,
    served: Sequence[Service],
    rule: Retention,
    now_us: int,
    *,
    keep_reference: bool = False,
) -> list[BundleFate]:
    """Return the fate of every bundle in the ledger, in order of registration.

    `served` is what the event log says was put in service, in order; `now_us`
    is µs UTC by the clock of the service. `keep_reference` keeps each model's first champion.
    """
    reasons = _reasons(state, served, rule, now_us)
    if keep_reference:
        models = {version.model for version in list(state.versions.values())}
        first = [reference_of(state, model) for model in sorted(models)]
        _add(reasons, first, "first champion, which quality is held against")
    of_digest: dict[str, list[VersionState]] = {}
    for version in list(state.versions.values()):
        of_digest.setdefault(version.digest, []).append(version)
    kept = {
        digest: next(reasons[it.version] for it in versions if it.version in reasons)
        for digest, versions in of_digest.items()
        if any(it.version in reasons for it in versions)
    }
    _keep_parents(state, of_digest, kept)
    return [
        BundleFate(
            digest,
            tuple(it.version for it in versions),
            digest in kept,
            kept.get(digest) or _why_it_goes(versions[-1], rule),
        )
        for digest, versions in of_digest.items()
    ]


def _reasons(state: RegistryState, served: Sequence[Service], rule: Retention, now_us: int) -> dict[str, str]:
    """Return the versions that are kept for what they are themselves, with the reason."""
    models = {version.model for version in list(state.versions.values())}
    since_us = now_us - rule.rollback_within
    reasons: dict[str, str] = {}
    for model in sorted(models):
        intended = [Service(model, reign.version, reign.since_us) for reign in state.reigns(model)]
        in_fact = [service for service in served if service.model == model]
        _add(reasons, [state.champion(model)], "champion")
        _add(reasons, [in_fact[-1].version if in_fact else ""], "serves")
        within = f"served within {format_duration(rule.rollback_within)}, so a rollback may go to it"
        _add(reasons, [*_in_service(intended, since_us), *_in_service(in_fact, since_us)], within)
        _add(reasons, state.clean_champions(model)[:1], "last clean champion before the present one")
    for version in list(state.versions.values()):
        if version.status == "challenger":
            _add(reasons, [version.version], "challenger that awaits evidence")
        elif now_us - _settled_us(version) < rule.bundles:
            _add(reasons, [version.version], f"judged less than {format_duration(rule.bundles)} ago")
    return reasons


def _add(reasons: dict[str, str], versions: Iterable[str], why: str) -> None:
    for version in versions:
        if version:
            reasons.setdefault(version, why)


def _in_service(services: Sequence[Service], since_us: int) -> list[str]:
    """Return what was in service at `since_us` or later; `services` of one model, in order."""
    first = next((i for i, service in enumerate(services) if service.since_us > since_us), len(services))
    return [service.version for service in services[max(0, first - 1) :]]


def _settled_us(version: VersionState) -> int:
    """Return when the last word on a version was spoken, µs UTC: its verdict, else its registration."""
    return max([version.created_us, *(verdict.time_us for verdict in version.verdicts)])


def _keep_parents(
    state: RegistryState, of_digest: dict[str, list[VersionState]], kept: dict[str, str]
) -> None:
    """Add to `kept` every bundle that a kept one was continued from."""
    waiting = list(kept)
    while waiting:
        child = of_digest[waiting.pop()][-1]
        for parent in {state.versions[it.parent].digest for it in of_digest[child.digest] if it.parent}:
            if parent not in kept:
                kept[parent] = f"{child.version} was continued from it"
                waiting.append(parent)


def _why_it_goes(version: VersionState, rule: Retention) -> str:
    if version.status == "former champion":
        return f"served last more than {format_duration(rule.rollback_within)} ago"
    return f"{version.status} more than {format_duration(rule.bundles)} ago"
