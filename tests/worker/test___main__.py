"""`gridfarm-worker` before anything of it has begun."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE_S

ROOT = Path(__file__).parents[2]


def heed_ctrl_c() -> None:
    """A test run in the background of a script ignores SIGINT, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("module", ["click", "common.batch"])
def test_ctrl_c_while_modules_are_loaded(module: str) -> None:
    """It ends at once, without a traceback. Python says which module it has loaded."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "worker.__main__"],
        cwd=ROOT, preexec_fn=heed_ctrl_c, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in said


def test_an_install_without_torch_is_refused_with_what_brings_it() -> None:
    """One line and what to do, and no process that is started again and again."""
    code = "import sys; sys.modules['torch'] = None; from worker.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip
    assert ended.returncode == 2
    assert (
        ended.stderr.splitlines()[0]
        == "Error: this is a producer-only install: it has no torch to render with"
    )
    assert "pip install -e '.[worker]' brings it" in ended.stderr
