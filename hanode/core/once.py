"""What is asked often of a value that never changes is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

T = TypeVar("T")
V = TypeVar("V")
P = ParamSpec("P")


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


def once_with(work_out: Callable[Concatenate[V, P], T]) -> Callable[Concatenate[V, P], T]:
    """Of a frozen record and what goes with it: worked out anew only when one of the others is another object than last time.

    By identity: what is read again and is as before stays the same object (`observe.as_before`), and comparing costs as much as
    working it out. Kept in the record itself, so it goes when that goes.
    """
    kept_as = f"{work_out.__module__}.{work_out.__qualname__}"

    @wraps(work_out)
    def asked(value: V, /, *others: P.args, **named: P.kwargs) -> T:
        found: tuple[tuple[Any, ...], T] | None = value.__dict__.get(kept_as)
        if found is not None and not named:
            for was, now in zip(found[0], others, strict=True):
                if was is not now:
                    break
            else:
                return found[1]
        made = work_out(value, *others, **named)
        if not named:
            value.__dict__[kept_as] = (others, made)
        return made

    return asked
