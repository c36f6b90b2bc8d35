"""The examples of the READMEs run as they stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples():
    for name in ("README.md", "bindings-py/README.md"):
        blocks = BLOCK.findall((ROOT / name).read_text())
        assert blocks, name
        for number, block in enumerate(blocks):
            yield pytest.param(name, number, id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "number"), list(examples()))
def test_an_example_runs(name, number):
    # A block may use what the blocks before it made, as a reader's session would.
    scope = {"__name__": "__main__"}
    for block in BLOCK.findall((ROOT / name).read_text())[: number + 1]:
        exec(compile(block, name, "exec"), scope)
