"""Training runs where only torch, NumPy, SciPy, safetensors, TensorBoard and tqdm are installed, as on GPU nodes.

Pillow too: TensorBoard cannot show images without it.
"""

import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

LEAN = ("textgan.engine", "textgan.models", "eval.images", "images")
COMMANDS = ("images.sample", "images.suite", "images.search", "images.bench", "images.controls")
PROGRAM = """
import sys
from importlib import import_module
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
for module in sys.argv[2:]:
    import_module(module)
    print(module)
"""
OTHERS = "tyro pandas pyarrow nltk sentencepiece datasets matplotlib jinja2 bokeh filelock ray pydantic rich yaml"


def run(modules: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, OTHERS, *modules]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.slow
def test_training_needs_few_packages() -> None:
    files = [path.relative_to(ROOT) for lean in LEAN for path in (ROOT / lean.replace(".", "/")).rglob("*.py")]
    modules = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in sorted(files)]
    assert {"textgan.engine.loop", "textgan.models.mle", "eval.images.frechet", "images.train"} <= set(modules)
    lean = [name for name in modules if name not in COMMANDS]
    # Known to be wrong: a command with flags of its own needs tyro.
    result = run([*lean, "images.sample"])
    assert result.stdout.split() == lean, result.stderr[-2000:]
    assert "No module named 'tyro'" in result.stderr
