"""Fixtures of the command line's tests."""

from tests.core.cli_stage import answering, hanode, leader
from tests.ops.stage import cloud, configured

__all__ = ["answering", "cloud", "configured", "hanode", "leader"]
