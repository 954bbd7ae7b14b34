"""How does a record look in the journal, and what is not accepted as one?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.lifecycle import HostState
from hanode.core.records import HostRecovery, Proof, ProofKind, Roster
from hanode.engine import codec
from hanode.engine.codec import CorruptEntry, NewerSchema
from tests.core.ledgers import recovery


def test_a_record_is_read_as_it_was_written() -> None:
    """Types included: an enum that came back as a string would match no case of a decision."""
    record = replace(
        recovery("c1"), proof=Proof(ProofKind.DEVICE, "off twice", "T3"), instances_read=True
    )
    back = codec.from_text(HostRecovery, "recovery/c1", codec.to_text(record))
    assert back == record
    assert isinstance(back.state, HostState)
    assert isinstance(back.proof, Proof)
    assert isinstance(back.proof.kind, ProofKind)


def test_equal_records_give_equal_text() -> None:
    """An ambiguous write is recognised by its text."""
    one, two = Roster(frozenset({"b", "a"}), {"x": "1", "y": "2"}), Roster(frozenset({"a", "b"}), {"y": "2", "x": "1"})
    assert codec.to_text(one) == codec.to_text(two)
    assert codec.from_text(Roster, "roster", codec.to_text(one)) == one


def test_fields_of_a_later_release_with_the_same_schema_are_ignored() -> None:
    """Within a schema a newer daemon may add what an older one can do without."""
    text = codec.to_text(Roster()).replace('{"held"', '{"colour":"blue","held"')
    assert codec.from_text(Roster, "roster", text) == Roster()


def test_a_newer_schema_stands_this_version_down() -> None:
    """Guessing at what a newer version promised could evacuate an instance twice."""
    with pytest.raises(NewerSchema, match=r"recovery/c1.*upgrade this node"):
        codec.from_text(HostRecovery, "recovery/c1", codec.to_text(recovery("c1")).replace('"schema":1', '"schema":3'))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema":"1"}',
        '{"schema":1}',
        codec.to_text(recovery("c1")).replace("FENCING", "DANCING"),
        codec.to_text(recovery("c1")).replace('"attempt":1', '"attempt":"1"'),
        codec.to_text(recovery("c1")).replace('"baseline":["m1"]', '"baseline":"m1"'),
        codec.to_text(recovery("c1")).replace('"instances_read":false', '"instances_read":"false"'),
    ],
)
def test_a_corrupt_text_names_its_key_and_the_remedy(text: str) -> None:
    """A wrong type is never bent into a right one."""
    with pytest.raises(CorruptEntry, match=r"recovery/c1 cannot be read .*restore it"):
        codec.from_text(HostRecovery, "recovery/c1", text)
