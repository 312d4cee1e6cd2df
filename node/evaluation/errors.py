"""What can be wrong with a folder of labelled cases."""

from __future__ import annotations


class CaseError(Exception):
    """A table, picture or drawing cannot be used; the message says what to do."""
