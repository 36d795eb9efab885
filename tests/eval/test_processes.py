import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.images.shapes import draw_shapes
from eval.images.frechet import read_statistics
from tests.helpers.commands import run
from tests.helpers.paths import ROOT


def free_port() -> int:
    """A port below those that systems give to connections, so that none takes it before it is listened at."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")


@pytest.mark.slow
def test_two_processes_make_the_statistics_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("real.npz", images=draw_shapes(0, 41)[0])
    command = "stats real.npz --features random-conv --device cpu --batch-size 8 --output"
    assert run(capfd, "eval.fid", *command.split(), "one.npz")[0] == 0
    port = free_port()
    # As torchrun sets them.
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": "0"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "0")
    environment = {**os.environ, "RANK": "1", "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "eval.fid", *command.split(), "two.npz"]
    other = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status, out, _ = run(capfd, "eval.fid", *command.split(), "two.npz")
    assert other.communicate()[0] == ""
    assert (status, other.returncode) == (0, 0)
    assert out.startswith("wrote statistics of real.npz (41 images) to two.npz")
    one, two = read_statistics(Path("one.npz")), read_statistics(Path("two.npz"))
    assert (two.count, two.extractor) == (41, one.extractor)
    np.testing.assert_allclose(two.mean, one.mean, atol=1e-6)
    np.testing.assert_allclose(two.covariance, one.covariance, atol=1e-6)
    # Where the first process fails, it alone says why.
    other = subprocess.Popen(
        [sys.executable, "-m", "eval.fid", *command.replace("real", "none").split(), "three.npz"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    status, out, err = run(capfd, "eval.fid", *command.replace("real", "none").split(), "three.npz")
    assert (status, out, err) == (2, "", "error: none.npz: no such file or folder; check the path\n")
    assert (*other.communicate(), other.returncode) == ("", "", 2)
    # Scores would be printed twice.
    assert run(capfd, "eval.fid", "real.npz", "two.npz") == (
        2, "", "error: torchrun works only with eval.fid stats; compare the saved statistics without torchrun\n"
    )  # fmt: skip
