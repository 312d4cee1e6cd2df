"""What the pipeline's tests share; see `tests.pipeline.heads` for the series."""

from __future__ import annotations

import pytest

from pipeline.run import Tools
from tests.pipeline import heads


@pytest.fixture(scope="session")
def atlases() -> Tools:
    """The real atlas without the network: the templates alone find the levels."""
    return heads.tools()
