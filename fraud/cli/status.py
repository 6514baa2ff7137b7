"""`fraud status`: champion, quality now and at promotion, feeds, loop and alarms, on one screen.

ledger                   what is intended, how the loop has run; there also when nothing runs
/metrics of the scorer   what serves, queue, log, exploration
/metrics of the retrainer  quality, traffic, feeds
Prometheus (--prometheus)  the alerts that fire there; else alarms by the same thresholds
"""

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import Output, Shell, console_of, shell_of
from fraud.cli.times import service_now_us

if TYPE_CHECKING:
    from fraud.cli.status_document import Seen
    from fraud.registry.loop import LoopCounts
    from fraud.registry.store import LedgerStore
    from fraud.settings import Settings


def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="With --watch: seconds between looks.")] = 2.0,
    prometheus: Annotated[
        str, typer.Option(help="URL of a Prometheus, like http://127.0.0.1:9090: show its alerts.")
    ] = "",
) -> None:
    """Show how the service is doing: champion, quality, decay, feeds, loop, alarms."""
    from fraud.errors import NotAllowedNow
    from fraud.registry.loop import LoopCounts
    from fraud.registry.store import LedgerStore

    shell = shell_of(ctx)
    place = shell.settings.places.ledger
    if not place.is_file():
        raise NotAllowedNow(f"{place}: no ledger yet, so nothing has run here; start 'fraud up'")
    with closing(LedgerStore.open(place, writable=False)) as ledger:
        counts = LoopCounts()
        if not watch:
            document = _look(shell.settings, ledger, counts, prometheus)
            shell.show(document, *_parts(document))
            return
        try:
            _watch(shell, ledger, counts, prometheus, every)
        except KeyboardInterrupt:
            return


def _watch(shell: Shell, ledger: "LedgerStore", counts: "LoopCounts", prometheus: str, every: float) -> None:
    if shell.output is Output.JSON:
        while True:
            shell.show(_look(shell.settings, ledger, counts, prometheus))
            time.sleep(every)
    from rich.console import Group
    from rich.live import Live

    def screen() -> Group:
        return Group(*_parts(_look(shell.settings, ledger, counts, prometheus), alarms_first=True))

    with Live(screen(), console=console_of(), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(screen(), refresh=True)


def _look(
    settings: "Settings", ledger: "LedgerStore", counts: "LoopCounts", prometheus: str
) -> dict[str, Any]:
    from fraud.cli.status_document import status_document

    for entry in ledger.read(after=counts.seq):
        counts.apply(entry)
    return status_document(
        settings, ledger.state(), counts, _see(settings, prometheus), service_now_us(settings)
    )


def _see(settings: "Settings", prometheus: str) -> "Seen":
    """Scrape what can be reached, and say of the rest why not."""
    from fraud.cli.status_document import Seen
    from fraud.monitoring.scrape import Endpoint, firing, scrape

    monitoring = settings.monitoring
    found, missing = {}, {}
    for name, port, host in (
        ("scorer", monitoring.scorer_port, monitoring.scorer_host),
        ("retrainer", monitoring.retrainer_port, monitoring.retrainer_host),
    ):
        endpoint = Endpoint.of(monitoring, settings.client, port, host)
        found[name] = scrape(endpoint) if port > 0 else None
        if port <= 0:
            why = "any free port" if port == 0 else "off"
            missing[name] = f"the {name} cannot be seen: monitoring.{name}_port = {port} ({why}); set a port"
        elif found[name] is None:
            command = "fraud serve" if name == "scorer" else "fraud retrain --watch"
            where = f"{endpoint.host}:{port}"
            guarded = "" if not endpoint.tls else ", or [client] ca and monitoring.token_file do not fit"
            missing[name] = f"the {name} is not running: nothing answers at {where} ('{command}'){guarded}"
    alerts = tuple(firing(prometheus)) if prometheus else None
    return Seen(found["scorer"], found["retrainer"], missing, alerts)


def _parts(document: dict[str, Any], *, alarms_first: bool = False) -> list[Any]:
    from fraud.cli.status_screen import parts

    return parts(document, alarms_first=alarms_first)
