"""The public names of the package are those of `tests/parity.json`."""

import json
from pathlib import Path

import callboard

PARITY = Path(__file__).parent.parent / "parity.json"

# The classes that do something; the others are documents.
DOERS = ["Server", "Balancer", "Feed", "Pick", "Query", "Registry", "Replica", "Store", "Wait", "Watch"]


def test_public_names_are_those_of_the_parity_list():
    listed = {row["python"] for row in json.loads(PARITY.read_text()) if row["python"]}
    public = {name for name in callboard.__all__ if not name.startswith("_")}
    for name in DOERS:
        public |= {f"{name}.{member}" for member in vars(getattr(callboard, name)) if not member.startswith("_")}
    assert public - listed == set(), "not in tests/parity.json"
    assert listed - public == set(), "no longer in the package"
