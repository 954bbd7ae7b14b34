"""Fixtures of the command line's tests."""

from tests.core.cli_stage import answering, hanode, leader

__all__ = ["answering", "hanode", "leader"]
