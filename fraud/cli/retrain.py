"""`fraud retrain`: one cycle now, the retraining process, or a request to the one that runs.

--once      a cycle in this process: archive, train, gate, promote
--watch     the retraining process of `fraud up`: waits for triggers and requests
neither     puts a request on the ledger through the server and waits for what becomes of it
"""

import math
import os
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fraud.cli.arenas import allocate_from_few
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.supervised import drain_without_supervisor
from fraud.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from fraud.client import Client
    from fraud.v1.models_pb2 import GetRetrainResponse

_POLL_S: Final = 0.5
_UNSEEN_S: Final = 15.0
"""How long a request may wait before it is said that perhaps nobody takes it up."""


def retrain(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Run one cycle in this process.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running: triggers, schedule, requests.")
    ] = False,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; default: all.")] = None,
    reason: Annotated[str | None, typer.Option(help='Stands in the ledger; default: "by hand".')] = None,
    actor: Annotated[str | None, typer.Option(help="Stands in the ledger; default: your user.")] = None,
    override_guard: Annotated[
        list[str] | None,
        typer.Option(help="Pass over what this check of the guard finds, on the record; needs --reason."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the verdicts of a request.")] = True,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Retrain: ask the running retrainer, or run a cycle or the process. Status 1: a model got none."""
    shell = shell_of(ctx)
    settings = shell.settings
    models = model or list(settings.models)
    unknown = [name for name in models if name not in settings.models]
    if unknown:
        raise NotFound(f"no model {', '.join(unknown)}; the configuration has {', '.join(settings.models)}")
    if once and watch:
        raise InvalidInput("--once, --watch", "both given", "choose one")
    overrides = _overrides(override_guard or [], reason, watch=watch)
    unused: dict[str, object] = {"--target": target} if once else {}
    if watch:
        unused = {"--model": model, "--reason": reason, "--actor": actor, "--target": target}
    for name, value in unused.items():
        if value:
            raise InvalidInput(name, f"means nothing with {'--once' if once else '--watch'}", "leave it out")
    why = reason or "by hand"
    if once or watch:
        shell.write_logs()
    if watch:
        # What is imported below takes seconds; a stop meanwhile waits for nothing, as nothing is open.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
        allocate_from_few(os.environ)
        from fraud.retrainer.daemon import watch as watch_ledger

        drain_without_supervisor(os.environ)
        watch_ledger(settings)
    elif once:
        from fraud.retrainer.daemon import run_once

        shell.note(f"retraining {', '.join(models)}; this takes a while")
        _show(shell, run_once(settings, models, why, shell.local_signer(actor), overrides))
    else:
        _request(shell, target, model or [""], why, shell.signer(actor), overrides, wait=wait)


def _overrides(checks: list[str], reason: str | None, *, watch: bool) -> list[str]:
    """Return the checks of the guard to pass over; refuse unknown ones, and those without a reason."""
    if not checks:
        return []
    from fraud.guard.finding import check_names

    check_names(checks)
    if watch:
        raise InvalidInput("--override-guard, --watch", "both given", "override in one request or --once")
    if not reason:
        raise InvalidInput("--reason", "is not given", "say why the guard is overridden; it is kept")
    return checks


def _request(
    shell: Shell,
    target: str | None,
    models: list[str],
    reason: str,
    actor: str,
    overrides: list[str],
    *,
    wait: bool,
) -> None:
    with shell.client(target) as client:
        requests = [client.trigger_retrain(name, reason, actor, overrides) for name in models]
        if not wait:
            text = ", ".join(map(str, requests))
            shell.show(
                {"requests": requests}, f"retrain requested (ledger entry {text}); see 'fraud versions'"
            )
            return
        shell.note("retrain requested; waiting for the verdicts")
        replies = [_wait(shell, client, request) for request in requests]
    failed = [reply.text for reply in replies if reply.state == reply.FAILED]
    _show(shell, [each for reply in replies for each in reply.verdicts], failed)


def _wait(shell: Shell, client: "Client", request: int) -> "GetRetrainResponse":
    """Wait until a request is through and the scorer serves what it promoted."""
    told_s = time.monotonic() + _UNSEEN_S
    while True:
        reply = client.get_retrain(request)
        if reply.state == reply.FAILED or (reply.state == reply.FINISHED and reply.applied):
            return reply
        if reply.state == reply.WAITING and time.monotonic() > told_s:
            told_s = math.inf
            shell.note(
                "no retrainer has taken it up yet; does one run ('fraud up', 'fraud retrain --watch')?"
            )
        time.sleep(_POLL_S)


def _verdict(each: Any) -> dict[str, Any]:
    names = ("model", "version", "verdict", "reason")
    if isinstance(each, dict):
        return {name: each.get(name, "") for name in names}
    return {name: getattr(each, name, "") for name in names}


def _show(shell: Shell, verdicts: Any, failed: Sequence[str] = ()) -> None:
    """Print the verdicts; end with status 1 where a model got no version."""
    from fraud.registry.cycles import untrained

    documents = [_verdict(each) for each in verdicts]
    rows = [tuple(each.values()) for each in documents]
    columns = ["model", "version", "verdict", "reason"]
    shell.show({"verdicts": documents, "failed": list(failed)}, table("Verdicts", columns, rows))
    for text in failed:
        shell.note(f"failed: {text}")
    if failed or untrained(documents):
        raise typer.Exit(1)
