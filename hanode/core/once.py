"""What is asked often of a value that never changes is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):
    """As `functools.cached_property`, without the lock that Python 3.11 takes for each: half of the price of judging a host."""

    def __init__(self, work_out: Callable[..., T]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> T | once[T]:
        if instance is None:
            return self
        # Into the instance itself, where Python looks before it looks here; a frozen record only forbids assignment.
        found = instance.__dict__[self._name] = self._work_out(instance)
        return found
