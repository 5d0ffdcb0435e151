"""The notebook among the examples runs as a person would run it, cell by cell in a kernel."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first-comparison.ipynb"


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_stored_without_what_a_machine_answered(notebook: Any) -> None:
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.integration
def test_it_runs(notebook: Any, tmp_path: Path) -> None:
    """It plans, renders with the tiny model, shows two grids, and looks at each picture."""
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "16 pictures: {'prompt': 2, 'seed': 2, 'variant': 4}" in printed
    assert "16 pictures to render" in printed
    assert printed.count(" seed ") == 8
    grids = [_image(output) for output in outputs if "image/png" in output.get("data", ())]
    assert [grid.format for grid in grids] == ["PNG", "PNG"]
    assert (tmp_path / "gridfarm-out" / "first-comparison" / "grid.png").exists()


def _image(output: Any) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(output.data["image/png"])))
