"""Any request of any method: a reply, or an error with a name; what is refused leaves nothing."""

from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given

from fraud import errors
from tests.fuzz.messages import METHODS, bodies
from tests.fuzz.service import Service, in_thread
from tests.fuzz.tuning import tuned

NAMED = {
    kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.FraudError)
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_thread(tmp_path_factory.mktemp("fuzz")) as service:
        yield service


@pytest.mark.parametrize("method", METHODS)
def test_a_request_gets_a_reply_or_a_named_error(service: Service, method: str) -> None:
    codes: Counter[grpc.StatusCode] = Counter()

    @tuned(60)
    @given(body=bodies(METHODS[method]))
    def sent(body: bytes) -> None:
        before = service.fingerprint()
        reply = service.call(method, body)
        codes[reply.code] += 1
        if reply.code is grpc.StatusCode.OK:
            return
        assert reply.code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), reply.details
        assert reply.details.rpartition("[")[2].rstrip("]") in NAMED, reply
        assert service.fingerprint() == before, f"{reply.code.name} left something behind"

    sent()
    assert sum(codes.values()) >= 1


def test_the_state_is_still_what_the_log_says(service: Service) -> None:
    assert service.is_as_logged()
