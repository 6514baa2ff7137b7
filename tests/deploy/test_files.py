"""What cannot be started everywhere: containers, units, Alertmanager. Read, checked against each other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fraud.clock import MINUTE_US
from fraud.monitoring.endpoint import Guard, serve_metrics
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.monitoring.scrape import HEARTBEAT
from fraud.settings import load_settings
from fraud.settings.durations import parse_duration_us
from fraud.settings.monitoring import Monitoring
from tests.deploy.known import DEPLOY, ROOT, alerts, read_yaml
from tests.serving.worlds import settings_in

COMPOSE: dict[str, Any] = read_yaml(DEPLOY / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
TLS: dict[str, Any] = read_yaml(DEPLOY / "compose.tls.yaml")["services"]
ALERTMANAGER: dict[str, Any] = read_yaml(DEPLOY / "alertmanager" / "alertmanager.yml")


def test_compose_has_everything_and_starts_it_again() -> None:
    assert set(SERVICES) == {"scorer", "retrainer", "prometheus", "alertmanager", "grafana"}
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped", name
        # The image's own health check is the scorer's.
        assert "healthcheck" in service or name == "scorer", name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name


def test_logs_are_bounded() -> None:
    for name, service in SERVICES.items():
        assert service["logging"]["driver"] == "local", name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_secrets_may_be_given_by_environment_and_need_not_be() -> None:
    for name in ("scorer", "retrainer"):
        assert [it["required"] for it in SERVICES[name]["env_file"]] == [False], name
    assert "deploy/fraud.env" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (DEPLOY / ".gitignore").read_text(encoding="utf-8").split() == ["/fraud.env", "/tls"]


def test_the_retrainers_health_is_asked_for_as_its_metrics_are_guarded(tmp_path: Path) -> None:
    settings_in(tmp_path)
    path = tmp_path / "fraud.toml"
    token = tmp_path / "token"
    token.write_text("a-token-that-readers-show")
    asked = [sys.executable, *SERVICES["retrainer"]["healthcheck"]["test"][2:]]
    monitoring = Monitoring(token_file=token)
    exporter = serve_metrics(RetrainerMetrics().registry, "127.0.0.1", 0, Guard(monitoring))
    text = path.read_text(encoding="utf-8")

    def health(token_file: str) -> int:
        given = f"retrainer_port = {exporter.port}\n{token_file}"
        path.write_text(text.replace("retrainer_port = -1\n", given), encoding="utf-8")
        env = {**os.environ, "FRAUD_CONFIG": str(path)}
        return subprocess.run(asked, env=env, check=False, stderr=subprocess.DEVNULL).returncode

    try:
        assert health(f'token_file = "{token}"\n') == 0
        assert health("") == 1, "it is guarded"
    finally:
        exporter.close()
    assert health(f'token_file = "{token}"\n') == 1, "nothing answers"


def test_either_process_finds_the_other_one(tmp_path: Path) -> None:
    settings_in(tmp_path)
    for name in ("scorer", "retrainer"):
        settings = load_settings(tmp_path / "fraud.toml", SERVICES[name]["environment"])
        assert settings.monitoring.scorer_host in SERVICES
        assert settings.monitoring.retrainer_host in SERVICES
        assert settings.monitoring.scorer_host != settings.monitoring.retrainer_host


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "grafana"])
def test_images_are_pinned_by_version(name: str) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What a service mounts, by the place where it does."""
    found = {}
    for mount in service.get("volumes", ()):
        if isinstance(mount, str):
            source, _, target = mount.removesuffix(":ro").rpartition(":")
        else:
            source, target = mount["source"], mount["target"]
        found[target] = source
    return found


def test_every_file_mounted_exists_and_every_volume_is_declared() -> None:
    for name, service in SERVICES.items():
        for source in mounts(service).values():
            if source.startswith("."):
                assert (DEPLOY / source).exists(), (name, source)
            elif not source.startswith("$"):
                assert source in COMPOSE["volumes"], (name, source)


def test_a_configuration_that_is_missing_is_an_error_and_not_a_folder() -> None:
    for name in ("scorer", "retrainer"):
        assert mounts(SERVICES[name])["/etc/fraud/fraud.toml"] == "${FRAUD_TOML:-../fraud.toml}"
    given = [*SERVICES["scorer"]["volumes"], *TLS["prometheus"]["volumes"]]
    bound = [it for it in given if isinstance(it, dict)]
    assert len(bound) == 3
    assert all(it["read_only"] and it["bind"] == {"create_host_path": False} for it in bound)


def test_rays_store_fits_into_shared_memory() -> None:
    retrainer = SERVICES["retrainer"]
    assert retrainer["init"] is True
    assert SERVICES["scorer"]["environment"].items() < retrainer["environment"].items()
    store = int(retrainer["environment"]["RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES"])
    assert 0.9 < store / (int(retrainer["shm_size"].removesuffix("gb")) * 2**30) < 0.95


def test_ports_are_published_to_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_prometheus_looks_where_the_services_are() -> None:
    known = {
        group["labels"]["job"]: group["targets"]
        for group in read_yaml(DEPLOY / "prometheus/targets/compose.yml")
    }
    assert known == {"fraud-scorer": ["scorer:9464"], "fraud-retrainer": ["retrainer:9465"]}
    host = read_yaml(DEPLOY / "prometheus/targets/host.yml")
    assert [group["labels"]["job"] for group in host] == list(known)
    told = read_yaml(DEPLOY / "prometheus/prometheus.yml")["alerting"]["alertmanagers"][0]["static_configs"]
    assert told == [{"targets": ["alertmanager:9093"]}]
    scraped = {
        job["job_name"]: job.get("static_configs")
        for job in read_yaml(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    }
    assert scraped["alertmanager"] == told
    assert scraped["prometheus"], "the heartbeat rests on it"
    for target in ("scorer", "retrainer", "alertmanager"):
        assert target in SERVICES


def test_what_changes_without_containers_stands_where_it_is_changed() -> None:
    config = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    source = (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    runbook = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    assert "alertmanager:9093" in config
    for text in (config, source, runbook):
        assert "without containers" in text
    for text, address in ((config, "127.0.0.1:9093"), (source, "http://127.0.0.1:9090")):
        assert address in text
        assert address in runbook


def test_ports_are_those_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "fraud.toml"
    settings_in(tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.partition("[monitoring]")[0].replace("port = 0\n", ""), encoding="utf-8")
    settings = load_settings(path, {})
    exposed = re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert exposed is not None
    monitoring = settings.monitoring
    assert exposed[1].split() == [
        str(port) for port in (settings.server.port, monitoring.scorer_port, monitoring.retrainer_port)
    ]


def test_the_environment_of_the_image_is_one_that_the_configuration_takes(tmp_path: Path) -> None:
    given = dict(re.findall(r"(FRAUD__\w+)=(\S+)", DOCKERFILE))
    exposed = {f"FRAUD__{part}__{key}" for part in ("SERVER", "MONITORING") for key in ("HOST", "INSECURE")}
    assert {"FRAUD__SERVICE__DATA_DIR"} | exposed == set(given)
    settings_in(tmp_path)
    settings = load_settings(tmp_path / "fraud.toml", given)
    assert settings.server.host == settings.monitoring.host == "0.0.0.0"
    assert str(settings.data_dir) == "/var/lib/fraud/data"


def test_the_image_runs_as_nobody_in_particular_and_watches_its_health() -> None:
    lines = DOCKERFILE.splitlines()
    assert "USER fraud" in lines
    assert lines.index("USER fraud") < next(
        i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )
    assert "HEALTHCHECK" in DOCKERFILE
    assert ":latest" not in DOCKERFILE
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name


def test_scorer_and_retrainer_share_one_folder_and_run_what_exists() -> None:
    for name, command in (("scorer", "serve"), ("retrainer", "retrain")):
        service = SERVICES[name]
        assert service["command"][0] == command
        assert "fraud:/var/lib/fraud" in service["volumes"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_what_alertmanager_mutes_and_routes_exists() -> None:
    receivers = {receiver["name"] for receiver in ALERTMANAGER["receivers"]}
    routes = [ALERTMANAGER["route"], *ALERTMANAGER["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
    routed = {matcher for route in routes for matcher in route.get("matchers", ())}
    severities = {rule["labels"]["severity"] for rule in alerts().values()}
    assert {f'severity = "{severity}"' for severity in severities} - routed == {'severity = "ticket"'}
    for rule in ALERTMANAGER["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, _, value = re.fullmatch(r'(\w+) (=~|=) "(.*)"', matcher).groups()  # type: ignore[union-attr]
            known = set(alerts()) if label == "alertname" else severities
            for one in value.split("|"):
                assert any(re.fullmatch(one, name) for name in known), (matcher, one)


def muted_by(alert: str) -> dict[str, list[str]]:
    """What an alert mutes by name, each with the labels that have to be equal."""
    found: dict[str, list[str]] = {}
    for rule in ALERTMANAGER["inhibit_rules"]:
        source, target = (
            re.fullmatch(r'alertname =~? "(.*)"', rule[f"{side}_matchers"][0])
            for side in ("source", "target")
        )
        if source is not None and target is not None and re.fullmatch(source[1], alert):
            found |= dict.fromkeys(target[1].split("|"), rule["equal"])
    return found


def test_a_frozen_retrain_mutes_a_stale_champion() -> None:
    assert muted_by("FraudRetrainFrozen")["FraudChampionStale"] == ["service", "model"]


def test_nothing_is_muted_by_another_service_and_nothing_that_needs_somebody_else() -> None:
    assert "service" in ALERTMANAGER["route"]["group_by"]
    assert [rule for rule in ALERTMANAGER["inhibit_rules"] if "service" not in rule["equal"]] == []
    assert {name for alert in alerts() for name in muted_by(alert)}.isdisjoint(
        {"FraudAlertRateJump", "FraudAlertsNotSent", "FraudAlertsNotEvaluated", "Heartbeat"}
    )
    assert "FraudDecay" in muted_by("FraudChampionTainted")


def test_the_heartbeat_goes_nowhere_until_somebody_says_where() -> None:
    beats = [name for name, rule in alerts().items() if rule["labels"]["severity"] == HEARTBEAT]
    assert beats == ["Heartbeat"]
    assert "for" not in alerts()["Heartbeat"]
    (route,) = (
        it for it in ALERTMANAGER["route"]["routes"] if it["matchers"] == [f'severity = "{HEARTBEAT}"']
    )
    assert {"name": route["receiver"]} in ALERTMANAGER["receivers"]
    repeated, looked = (parse_duration_us(route[name]) for name in ("repeat_interval", "group_interval"))
    assert looked == MINUTE_US
    assert repeated < looked, "as long, and every other turn is passed over"


@pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool is not installed (prometheus-alertmanager)"
)
def test_alertmanager_accepts_its_configuration() -> None:
    path = DEPLOY / "alertmanager" / "alertmanager.yml"
    done = subprocess.run(["amtool", "check-config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
