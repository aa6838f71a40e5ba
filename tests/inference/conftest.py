import pytest

from sr_experiments.inference.engine import Engine
from tests.inference.films import Nearest


@pytest.fixture(scope="module")
def nearest() -> Engine:
    return Engine(Nearest(), "cpu", "fp32")
