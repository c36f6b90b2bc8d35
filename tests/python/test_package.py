"""`pip install ./bindings-py` into a clean environment, as a user does it."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import json, importlib.metadata as metadata, callboard
registry = callboard.Registry()
registry.register("billing", "b1", endpoints=["http://10.0.0.5:8080"])
with callboard.Balancer(registry, "billing").pick() as instance:
    url = instance.url
package = metadata.distribution("callboard")
files = sorted(str(file) for file in package.files if file.parts[0] == "callboard" and file.suffix != ".pyc")
print(json.dumps({"url": url, "version": package.version, "imported": callboard.__version__, "requires": package.requires, "files": files}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "./bindings-py"], cwd=ROOT, check=True)
    done = subprocess.run([python, "-I", "-c", USE], cwd=folder, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_it_works(installed):
    assert installed["url"] == "http://10.0.0.5:8080"


def test_it_brings_its_types_and_nothing_else(installed):
    # Only what an extra asks for.
    assert all("extra ==" in requirement for requirement in installed["requires"])
    assert installed["version"] == installed["imported"]
    sources = {f"callboard/{file.name}" for file in (ROOT / "bindings-py/python/callboard").glob("*.py*") if file.suffix in (".py", ".pyi")}
    files = {file for file in installed["files"] if "/_native." not in file or file.endswith(".pyi")}
    assert files == sources | {"callboard/py.typed"}
    assert len([file for file in installed["files"] if file.startswith("callboard/_native.") and not file.endswith(".pyi")]) == 1
