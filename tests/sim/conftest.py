"""Stories are played once in a run of the tests, by whichever process needs them first."""

from __future__ import annotations

import os

import pytest

from tests.sim import plays


@pytest.fixture(scope="session", autouse=True)
def stories_are_shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    plays.shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "plays"
    plays.shared.mkdir(exist_ok=True)
