"""The systemd units, what they do when they fail, and the command that runs by hand as they do."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from fraud.cli.up import RETRAINER_GRACE_S
from tests.deploy.known import DEPLOY, ROOT, UPKEEP_FAILED

FOLDER = DEPLOY / "systemd"
UNITS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.service"))}
TIMERS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.timer"))}
BY_HAND = FOLDER / "fraudctl"
COMMAND = "/opt/fraud/bin/fraud"
OURS = sorted(name for name, text in UNITS.items() if COMMAND in text)
SECRETS = "/etc/fraud/fraud.env"


def shell_line(unit: str, step: str) -> str:
    """What a step of a unit gives to `sh -c`, as systemd reads it."""
    found = re.search(rf"^{step}=/bin/sh -c (['\"])(.*)\1$", UNITS[unit], re.MULTILINE)
    assert found is not None
    return found[2].replace('\\"', '"').replace("$$", "$").replace("%%", "%")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units_and_finds_them_locked_in(tmp_path: Path) -> None:
    copies = []
    for name, text in (UNITS | TIMERS).items():
        copies.append(tmp_path / name)
        copies[-1].write_text(text.replace(COMMAND, "/bin/true"), encoding="utf-8")
    names = [str(path) for path in copies]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Unknown" not in done.stderr
    services = [name for name in names if name.endswith(".service")]
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", *services]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "exposure above 2.0:\n" + done.stdout


def test_units_start_what_exists_and_end_it_with_sigterm() -> None:
    assert [f"fraud-{name}.service" for name in ("backup", "retrain", "serve", "vacuum")] == OURS
    for name, command in (("retrain", "retrain --watch"), ("serve", "serve")):
        text = UNITS[f"fraud-{name}.service"]
        assert re.search(rf"^ExecStart=.* {command}$", text, re.MULTILINE)
        for line in (
            "KillSignal=SIGTERM",
            "Restart=on-failure",
            "NoNewPrivileges=true",
            "ProtectSystem=strict",
        ):
            assert line in text.splitlines()


def test_the_retrainer_has_as_long_to_end_as_under_fraud_up() -> None:
    given = re.search(r"^TimeoutStopSec=(\d+)$", UNITS["fraud-retrain.service"], re.MULTILINE)
    assert given is not None
    assert float(given[1]) == RETRAINER_GRACE_S
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["retrainer"]["stop_grace_period"] == f"{RETRAINER_GRACE_S:g}s"


def test_secrets_may_be_given_by_environment_and_need_not_be() -> None:
    assert [name for name in OURS if f"EnvironmentFile=-{SECRETS}\n" not in UNITS[name]] == []
    assert SECRETS in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_backup_is_made_daily_and_the_newest_are_kept(tmp_path: Path) -> None:
    kept = re.search(r"^Environment=KEPT=(\d+)$", UNITS["fraud-backup.service"], re.MULTILINE)
    assert kept is not None
    for day in range(1, 11):
        (tmp_path / f"2020-01-{day:02}T033000Z.tar").touch()
    left = tmp_path / ".2020-01-10T033000Z.tar.77"
    left.mkdir()
    others = ["keep.me", "of mine.tar"]
    for name in others:
        (tmp_path / name).touch()
    env = {**os.environ, "STATE_DIRECTORY": str(tmp_path), "KEPT": kept[1]}
    for step in ("ExecStartPre", "ExecStart", "ExecStartPost"):
        told = shell_line("fraud-backup.service", step).replace(f"exec {COMMAND}", "touch_last")
        script = f'touch_last() {{ for target; do :; done; : >"$target"; }}; {told}'
        subprocess.run(["/bin/sh", "-c", script], env=env, check=True)
    assert not left.exists()
    found = sorted(path.name for path in tmp_path.iterdir() if path.name not in others)
    assert all((tmp_path / name).exists() for name in others)
    assert len(found) == int(kept[1])
    assert found[:2] == ["2020-01-05T033000Z.tar", "2020-01-06T033000Z.tar"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z\.tar", found[-1])


def test_what_is_not_kept_goes_each_week() -> None:
    (line,) = re.findall(rf"^ExecStart={COMMAND} .*$", UNITS["fraud-vacuum.service"], re.MULTILINE)
    assert line.endswith(" archive vacuum")
    assert "OnCalendar=Sun *-*-*" in TIMERS["fraud-vacuum.timer"]
    assert "OnCalendar=*-*-*" in TIMERS["fraud-backup.timer"]
    for text in TIMERS.values():
        assert "WantedBy=timers.target" in text.splitlines()
        assert "Persistent=true" in text.splitlines()


def test_what_a_timer_starts_does_not_fail_in_silence() -> None:
    for name in TIMERS:
        service = UNITS[name.replace(".timer", ".service")]
        assert "OnFailure=fraud-failed@%N.service" in service.splitlines(), name
    line = shell_line("fraud-failed@.service", "ExecStart").replace("%i", "fraud-backup")
    script = 'curl() { for it; do printf "%s\\0" "$it"; done; }; ' + line.removeprefix("exec ")
    env = {**os.environ, "ALERTMANAGER": "http://127.0.0.1:9093"}
    done = subprocess.run(["/bin/sh", "-c", script], env=env, check=True, capture_output=True, text=True)
    *options, body, url = done.stdout.split("\0")[:-1]
    assert {"--fail", "--data", "Content-Type: application/json"} <= set(options)
    assert url == "http://127.0.0.1:9093/api/v2/alerts"
    (alert,) = json.loads(body)
    assert alert["labels"] == {"alertname": UPKEEP_FAILED, "severity": "ticket", "unit": "fraud-backup"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", alert["endsAt"])


def by_hand(tmp_path: Path, *arguments: str, **variables: str) -> tuple[list[str], int]:
    """Run fraudctl where systemd-run writes down what it was asked for, and ends with status 3."""
    asked = tmp_path / "systemd-run"
    asked.write_text(
        '#!/bin/sh\nfor it; do printf "%s\\0" "$it"; done\n'
        'for it; do case "$it" in --property=EnvironmentFile=/*) cat "${it##*=}" >&2; esac; done\nexit 3\n'
    )
    asked.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    for name in ("SUDO_USER", "FRAUD_TOKEN", "FRAUD_BIN"):
        env.pop(name, None)
    done = subprocess.run(
        [str(BY_HAND), *arguments], env=env | variables, check=False, capture_output=True, text=True
    )
    assert done.stderr == (f"FRAUD_TOKEN={variables['FRAUD_TOKEN']}\n" if "FRAUD_TOKEN" in variables else "")
    return done.stdout.split("\0")[:-1], done.returncode


def test_by_hand_a_command_runs_as_the_units_do(tmp_path: Path) -> None:
    asked, status = by_hand(
        tmp_path, "promote", "card-2", "--reason", "a $HOME 'of' ${one}\nown", SUDO_USER="jane"
    )
    assert status == 3, "the status of the command, here: waits for a second person"
    assert asked[-7:] == [
        COMMAND, "--config", "/etc/fraud/fraud.toml",
        "promote", "card-2", "--reason", "a $$HOME 'of' $${one}\nown",
    ]  # fmt: skip
    assert {"--wait", "--collect", "--quiet", "--pty", "--pipe", "--setenv=LOGNAME=jane"} <= set(asked)
    properties = [it.removeprefix("--property=") for it in asked if it.startswith("--property=")]
    for name in ("User", "Group", "Environment", "EnvironmentFile", "WorkingDirectory", "StateDirectory",
                 "StateDirectoryMode", "CacheDirectory", "LimitNOFILE", "UMask"):  # fmt: skip
        wanted = re.findall(rf"^{name}=.*$", UNITS["fraud-serve.service"], re.MULTILINE)
        assert wanted
        assert [it for it in properties if it.startswith(f"{name}=")] == wanted
    starts = re.search(r"^ExecStart=(\S+ \S+ \S+)", UNITS["fraud-serve.service"], re.MULTILINE)
    assert starts is not None
    assert asked[-7:-4] == starts[1].split()


def test_by_hand_a_token_is_in_no_command_line_and_stays_in_no_file(tmp_path: Path) -> None:
    token = "fraud_a_secret"
    asked, _ = by_hand(tmp_path, "versions", FRAUD_TOKEN=token, FRAUD_BIN="/opt/fraud-next/bin/fraud")
    assert [it for it in asked if token in it] == []
    assert "/opt/fraud-next/bin/fraud" in asked
    assert [path.name for path in tmp_path.iterdir()] == ["systemd-run"]
