"""TLS as the runbook makes it for compose: lines, tables and mounts fit each other and the service."""

import re
import shutil
import ssl
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fraud.settings.load import settings_from
from tests.deploy.known import DEPLOY, read_yaml
from tests.serving.worlds import settings_in

SECTION = (DEPLOY / "runbook.md").read_text(encoding="utf-8").partition("\n## TLS with compose\n")[2]
BLOCKS: dict[str, list[str]] = {}
for _kind, _text in re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL):
    BLOCKS.setdefault(_kind, []).append(_text)
TABLES: dict[str, Any] = tomllib.loads(BLOCKS["toml"][0])
ENVIRONMENT = dict(line.split("=", 1) for line in BLOCKS["sh"][0].splitlines())
PLACE = "/var/lib/fraud/"


def image_environment() -> dict[str, str]:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    return dict(re.findall(r"(FRAUD__\w+)=(\S+)", text))


def test_the_service_takes_the_tables_and_guards_both_ports(tmp_path: Path) -> None:
    settings_in(tmp_path)
    own = tomllib.loads((tmp_path / "fraud.toml").read_text(encoding="utf-8"))
    for name, table in TABLES.items():
        own[name] = own.get(name, {}) | table
    settings = settings_from(own, image_environment() | ENVIRONMENT, tmp_path / "fraud.toml")
    assert not settings.server.insecure
    assert not settings.monitoring.insecure
    assert settings.client.server_name == "fraud.internal"
    without = {name: table for name, table in own.items() if name != "client"}
    del without["server"]["identities"]
    with pytest.raises(Exception, match="is reached from other machines"):
        settings_from(without, image_environment() | ENVIRONMENT, tmp_path / "fraud.toml")


def test_every_file_that_a_table_names_is_copied_there() -> None:
    told = re.findall(rf'"{PLACE}(tls/\S+)"', BLOCKS["toml"][0])
    (line,) = (it for it in BLOCKS["console"][1].splitlines() if it.startswith("tar "))
    assert set(told) == set(re.findall(r"tls/\S+", line))


def test_prometheus_is_given_what_its_configuration_names() -> None:
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    named = re.findall(r"# .*(?:ca_file|credentials_file): ([\w./]+)", text)
    mounted = {
        it["target"].removeprefix("/etc/prometheus/"): it["source"]
        for it in read_yaml(DEPLOY / "compose.tls.yaml")["services"]["prometheus"]["volumes"]
    }
    assert set(named) == set(mounted)
    assert set(mounted.values()) == {"./tls/ca.pem", "./tls/metrics.token"}
    assert f"server_name: {TABLES['client']['server_name']}" in text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_certificate_is_believed_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    done = subprocess.run(
        ["/bin/sh", "-ec", BLOCKS["console"][0]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = tmp_path / "deploy" / "tls"
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(made / "server.pem", made / "server.key")
    asking = ssl.create_default_context(cafile=made / "ca.pem")
    handshake(serving, asking, "fraud.internal")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(serving, asking, "another.name")


def handshake(serving: ssl.SSLContext, asking: ssl.SSLContext, name: str) -> None:
    """Shake hands in memory, until both sides believe each other."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=name)
    server = serving.wrap_bio(there, back, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
