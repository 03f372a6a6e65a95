import io

import pytest
from rich.console import Console


@pytest.fixture
def console():
    """Consoles of a width, whose text can be exported."""
    return lambda width=80: Console(record=True, width=width, file=io.StringIO())
