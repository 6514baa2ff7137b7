"""`fraud doctor`: is this deployment well, and if not, what to do."""

from dataclasses import asdict

import typer

from fraud.cli.shell import shell_of, table
from fraud.errors import ConfigError


def doctor(ctx: typer.Context) -> None:
    """Check configuration, disk, data folder, ports, ledger, champions, log, clock and label delays."""
    from fraud.cli.checkup import examine
    from fraud.cli.finding import Finding

    shell = shell_of(ctx)
    try:
        settings = shell.settings
    except ConfigError as error:
        findings = [Finding("configuration", "fail", str(error), "mend the file or the environment variable")]
    else:
        findings = list(examine(settings))
    rows = [(each.state, each.check, each.text, each.remedy or None) for each in findings]
    shell.show(
        {"findings": [asdict(each) for each in findings]},
        table(f"Doctor: {shell.config}", ["", "check", "finding", "what to do"], rows),
    )
    if any(each.state == "fail" for each in findings):
        raise typer.Exit(1)
