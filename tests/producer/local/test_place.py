"""Where this machine keeps what it renders, as commands see it from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.store import open_store
from producer.catalogue import remember
from producer.cli.main import run
from producer.local import Place, find_place
from tests.support.orders import frozen, put_batch


def test_the_nearest_folder_upward_that_has_a_store(tmp_path: Path) -> None:
    outer, inner = tmp_path / "gridfarm-out", tmp_path / "a" / "gridfarm-out"
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find_place(deep) is None
    (outer / "store").mkdir(parents=True)
    assert find_place(deep) == Place(outer)
    inner.mkdir()  # without a store it is none
    assert find_place(deep) == Place(outer)
    (inner / "store").mkdir()
    assert find_place(deep) == Place(inner)
    assert find_place(tmp_path) == Place(outer)


@pytest.mark.parametrize(
    ("name", "trial", "view"),
    [
        ("Wolves at night", "", "wolves-at-night"),
        ("wolves", "trial-steps-5", "wolves/trial-steps-5"),
        ("store", "", "store-batch"),  # the store is in "store"
    ],
)
def test_a_view_has_the_batchs_name_and_never_the_stores(name: str, trial: str, view: str) -> None:
    assert Place(Path("out")).view(name, trial) == Path("out", view)


class TestWhatIsUsed:
    """The store is --store, else GRIDFARM_STORE, else gridfarm.toml, else the folder's own."""

    @pytest.fixture
    def stores(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
        """A batch of its own in each; the current folder lies in the project."""
        folder = tmp_path / "project" / "deep"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        stores = {name: tmp_path / name for name in ("flag", "environment", "file")}
        stores["place"] = tmp_path / "project" / "gridfarm-out" / "store"
        for name, store in stores.items():
            put_batch(open_store(str(store)), frozen(name))
        return stores

    def test_the_first_that_names_one(
        self,
        stores: dict[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert self.listed(capsys) == "place"
        (tmp_path / "project" / "gridfarm.toml").write_text(f'store = "{stores["file"]}"\n')
        assert self.listed(capsys) == "file"
        monkeypatch.setenv("GRIDFARM_STORE", str(stores["environment"]))
        assert self.listed(capsys) == "environment"
        assert self.listed(capsys, "--store", str(stores["flag"])) == "flag"

    def test_what_nobody_named_is_said(
        self, stores: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["list"])
        assert f"store: {stores['place']}" in capsys.readouterr().err
        run(["list", "--store", str(stores["flag"])])
        assert "store:" not in capsys.readouterr().err

    def test_a_submit_wants_one_that_the_workers_know(
        self, stores: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert stores["place"].exists()
        code = run(["submit", "--prompt", "a wolf", "--broker", "redis://127.0.0.1:1/0"])
        assert code == 2
        assert "no store is configured" in capsys.readouterr().err

    def listed(self, capsys: pytest.CaptureFixture[str], *where: str) -> str:
        capsys.readouterr()
        assert run(["list", *where]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        return lines[1].split()[0].rpartition("-")[0]


def test_without_any_store_the_error_says_where_the_last_batch_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRIDFARM_CACHE", str(tmp_path / "cache"))
    assert run(["list"]) == 2
    said = capsys.readouterr().err
    assert "there is no gridfarm-out in this folder or above" in said
    assert said.splitlines()[1].startswith("  gridfarm render FILE makes one here")
    elsewhere = open_store(str(tmp_path / "elsewhere"))
    batch = put_batch(elsewhere, frozen())
    remember(tmp_path / "cache", batch, elsewhere)
    for command in ("list", "status", "grid"):
        assert run([command]) == 2
        said = capsys.readouterr().err
        assert f"{batch} is in another store: --store {tmp_path / 'elsewhere'}" in said
    assert not (tmp_path / "gridfarm-out").exists()
