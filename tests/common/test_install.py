"""The command that every message advises installs the gridfarm that runs, wherever it is from."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from common import install
from common.install import Source, install_command

ROOT = Path(__file__).parents[2]


def installed(folder: Path, direct: object = None, urls: str = "") -> Distribution:
    """A package as pip leaves it in site-packages."""
    info = folder / "gridfarm-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: gridfarm\nVersion: 0.1.0\n{urls}")
    if direct is not None:
        (info / "direct_url.json").write_text(json.dumps(direct))
    return PathDistribution(info)


def clone(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "gridfarm"\n')
    return folder


class TestFromAClone:
    def test_it_names_the_clone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given code that runs in a clone, then the advice names its folder, or the dot in it."""
        here = clone(tmp_path / "my clone")
        source = Source.of(None, here)
        assert source.requirement("local") == f"-e '{here}[local]'"
        monkeypatch.chdir(here)
        assert source.requirement("local") == "-e '.[local]'"

    def test_what_was_installed_from_a_folder(self, tmp_path: Path) -> None:
        """Given a copy in site-packages, then the folder is known by what pip has noted."""
        here = clone(tmp_path / "clone")
        found = installed(tmp_path / "site", {"url": here.as_uri(), "dir_info": {}})
        assert Source.of(found, tmp_path / "site").requirement("local") == f"'{here}[local]'"

    def test_a_clone_that_is_gone_is_not_advised(self, tmp_path: Path) -> None:
        noted = {"url": (tmp_path / "gone").as_uri(), "dir_info": {"editable": True}}
        found = installed(tmp_path / "site", noted)
        assert Source.of(found, tmp_path / "site").requirement("local") == ""

    def test_these_tests_run_in_one(self) -> None:
        assert f"'{ROOT}[local]'" in install_command("local") or Path.cwd() == ROOT


class TestFromElsewhere:
    def test_what_was_installed_from_a_repository(self, tmp_path: Path) -> None:
        noted = {
            "url": "https://git.example/gridfarm.git",
            "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "0" * 40},
        }
        source = Source.of(installed(tmp_path, noted), tmp_path)
        url = "git+https://git.example/gridfarm.git@v1"
        assert source.requirement("worker") == f"'gridfarm[worker] @ {url}'"

    def test_what_was_installed_from_a_wheel(self, tmp_path: Path) -> None:
        noted = {"url": "https://files.example/gridfarm-0.1.0.whl", "archive_info": {}}
        source = Source.of(installed(tmp_path, noted), tmp_path)
        assert source.requirement("local") == f"'gridfarm[local] @ {noted['url']}'"

    def test_the_repository_of_the_metadata(self, tmp_path: Path) -> None:
        urls = "Project-URL: Documentation, https://x.example\nProject-URL: Repository, https://y\n"
        source = Source.of(installed(tmp_path, urls=urls), tmp_path)
        assert source.requirement("local") == "'gridfarm[local] @ git+https://y'"

    @pytest.mark.parametrize("noted", [None, [], {"url": 3}, {"vcs_info": []}])
    def test_an_index_is_never_advised(
        self, noted: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given nothing that says where from, then a clone is named: who has the name on an index
        is not known."""
        source = Source.of(installed(tmp_path, noted), tmp_path)
        monkeypatch.setattr(install.Source, "of_this", lambda: source)
        assert install_command("local").endswith("'.[local]' in a clone of gridfarm's repository")
