"""What is worked out once, and what stays the same object from one reading to the next?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hanode.core.facts import Unknown
from hanode.core.once import once_with
from hanode.engine.observe import as_before
from tests.core.facts import instance


@dataclass(frozen=True)
class Price:
    amount: int
    asked: list[str] = field(default_factory=list)


@once_with
def in_words(price: Price, currency: str) -> str:
    price.asked.append(currency)
    return f"{price.amount} {currency}"


def test_it_is_worked_out_anew_only_with_something_else() -> None:
    """What is remembered of one policy must never be told of another."""
    price = Price(3)
    assert [in_words(price, currency) for currency in ("EUR", "EUR", "NOK", "EUR")] == ["3 EUR", "3 EUR", "3 NOK", "3 EUR"]
    assert price.asked == ["EUR", "NOK", "EUR"]


def test_what_is_made_of_a_record_does_not_inherit_what_was_worked_out_of_it() -> None:
    """`replace` takes fields: another amount has another answer."""
    price = Price(3)
    assert in_words(price, "EUR") == "3 EUR"
    assert in_words(replace(price, amount=4), "EUR") == "4 EUR"


def test_a_reading_that_is_as_before_brings_no_new_objects() -> None:
    """Of what Nova shows a second later nearly all is as it was: only what changed is to be looked at again."""
    a, b = instance("a"), instance("b")
    once_more = (replace(a), replace(b, vm_state="error"))
    found = as_before((a, b), once_more)
    assert isinstance(found, tuple) and found == once_more
    assert found[0] is a and found[1] is once_more[1]


def test_a_reading_of_fewer_or_of_nothing_is_told_as_it_is() -> None:
    """A list that could not be read, or in which somebody is missing, is never filled up from an older one."""
    a, b = instance("a"), instance("b")
    unknown = Unknown("no answer")
    assert as_before((a, b), (b,)) == (b,)
    assert as_before((a, b), ()) == ()
    assert as_before((a, b), unknown) is unknown
    assert as_before(unknown, (a,)) == (a,)
