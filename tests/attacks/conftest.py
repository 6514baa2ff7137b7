import pytest

from tests.attacks.worlds import World, made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Nobody writes to it."""
    return made(tmp_path_factory.mktemp("attacked"))
