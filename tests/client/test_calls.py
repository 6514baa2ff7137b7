"""The Python client has every method that the services have."""

from pathlib import Path

import pytest

import fraud.client
from fraud.v1 import access_pb2, labels_pb2, models_pb2, policy_pb2, scoring_pb2

SERVICES = {
    service.name: service
    for file in (scoring_pb2, labels_pb2, models_pb2, policy_pb2, access_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_rpc_is_called_by_the_client(name: str) -> None:
    folder = Path(fraud.client.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    missing = [method.name for method in SERVICES[name].methods if f'"{name}/{method.name}"' not in text]
    assert not missing, f"fraud.client calls no {', '.join(missing)} of {name}"
