"""How do several stories play at the same time? Each on a stage of its own, behind the other tests: they mostly wait.

A test that is marked `story` is begun in the background with the session's first end-to-end test; when its turn comes, its
outcome is waited for. The mark's arguments are those of the Stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import pytest

from hanode.sim.stage import Stage
from tests.e2e.play import Play

AT_ONCE = 3
"""Stages beside the one of the tests in front; a stage needs about a tenth of a core."""


class Stories:
    def __init__(self, items: Sequence[pytest.Function], directory: Callable[[str], Path]) -> None:
        self._directory = directory
        self._opening = Lock()  # one after the other: starting costs processors, and ports are free only until somebody has them
        self._open: list[Stage] = []
        self._plays: dict[str, Future[Play]] = {item.nodeid: Future() for item in items}
        self._pool = ThreadPoolExecutor(AT_ONCE, "story")
        self._ends = {item.nodeid: self._pool.submit(self._tell, item) for item in items}

    def play_of(self, test: str) -> Play:
        """As soon as its stage stands."""
        return self._plays[test].result()

    def wait_for(self, test: str) -> None:
        """Raises what the story raised."""
        self._ends[test].result()

    def close(self) -> None:
        """Nobody waits any more: a story that still plays ends, because its stage does."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for stage in self._open:
            stage.close()
        self._pool.shutdown()

    def _tell(self, item: pytest.Function) -> None:
        mark = item.get_closest_marker("story")
        assert mark is not None
        with ExitStack() as stack:
            with self._opening:
                try:
                    stage = Stage(self._directory("stage"), **mark.kwargs)
                    play = Play(stack.enter_context(stage))
                except BaseException as error:
                    self._plays[item.nodeid].set_exception(error)
                    raise
                self._open.append(stage)
                self._plays[item.nodeid].set_result(play)
            item.obj(play)
            self._open.remove(stage)
