"""Where servers and folders come from: flag, environment, gridfarm.toml, default, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.config import FarmConfig, load_config
from common.errors import UsageError


def test_the_first_that_has_a_value_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRIDFARM_CACHE")
    assert load_config({}, folder=tmp_path) == FarmConfig()
    (tmp_path / "gridfarm.toml").write_text('store = "from file"\nbroker = "from file"\n')
    monkeypatch.setenv("GRIDFARM_STORE", "from environment")
    config = load_config({"broker": "from flag", "store": None}, folder=tmp_path)
    assert (config.broker, config.store) == ("from flag", "from environment")
    assert config.cache == FarmConfig().cache


def test_the_nearest_file_above_counts(tmp_path: Path) -> None:
    (tmp_path / "gridfarm.toml").write_text('store = "far"\nbroker = "far"\n')
    (tmp_path / "near" / "here").mkdir(parents=True)
    (tmp_path / "near" / "gridfarm.toml").write_text('store = "near"\n')
    config = load_config({}, folder=tmp_path / "near" / "here")
    assert (config.store, config.broker) == (str(tmp_path / "near" / "near"), "")


def test_a_relative_folder_is_one_beside_the_file(tmp_path: Path) -> None:
    """Wherever the command is given; what is no relative folder stays as it is."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    for written, meant in {
        "renders": str(tmp_path / "renders"),
        "../shared": str(tmp_path / ".." / "shared"),
        "/srv/renders": "/srv/renders",
        "~/renders": "~/renders",
        "s3://bucket/renders": "s3://bucket/renders",
        "file:///srv/renders": "file:///srv/renders",
        "s3:/bucket": "s3:/bucket",
        "s3//bucket": "s3//bucket",
        "gs:bucket": "gs:bucket",
        "minio:9000/bucket": "minio:9000/bucket",
        "renders: old": str(tmp_path / "renders: old"),
    }.items():
        (tmp_path / "gridfarm.toml").write_text(f'store = "{written}"\n')
        for folder in (tmp_path, below):
            assert load_config({}, folder=folder).store == meant
    flag = load_config({"store": "given/here"}, folder=below)
    assert flag.store == "given/here"


@pytest.mark.parametrize(
    "text",
    ["store = ", 'shop = "x"', "store = 3", "[store]", "\ufffe\x00"],
    ids=["no TOML", "unknown", "number", "table", "noise"],
)
def test_a_file_with_a_mistake_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "gridfarm.toml").write_text(text)
    with pytest.raises(UsageError, match=r"gridfarm\.toml") as wrong:
        load_config({}, folder=tmp_path)
    assert wrong.value.hint


@pytest.mark.parametrize("name", ["broker", "store"])
def test_what_is_needed_and_not_configured_says_how(name: str) -> None:
    with pytest.raises(UsageError, match=f"no {name} is configured") as missing:
        getattr(FarmConfig(), f"need_{name}")()
    assert f"GRIDFARM_{name.upper()}" in missing.value.hint
    config = FarmConfig(broker="redis://host", store="s3://bucket")
    assert getattr(config, f"need_{name}")() == getattr(config, name)


def test_the_cache_is_below_the_home_folder() -> None:
    assert FarmConfig().cache_dir == Path.home() / ".cache" / "gridfarm"


@pytest.mark.parametrize("name", ["STOR", "STORAGE", "BROKERS", "CASHE"])
def test_a_variable_that_is_nearly_one_of_ours_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the work would go to another store than the one that it names."""
    for ours in ("STORE", "BROKER", "CACHE"):
        monkeypatch.delenv(f"GRIDFARM_{ours}", raising=False)
    monkeypatch.setenv(f"GRIDFARM_{name}", "s3://bucket")
    with pytest.raises(UsageError, match=f"GRIDFARM_{name} is set") as error:
        load_config({}, folder=tmp_path)
    assert error.value.hint.startswith("did you mean GRIDFARM_")


@pytest.mark.parametrize("name", ["CLOUD", "METADATA_URL", "CHAOS_SEEDS", "METRICS", "RUN_DIR",
                                  "EXIT_WHEN_IDLE", "MAX_LIFETIME", "ROOT", "HOME"])  # fmt: skip
def test_other_variables_are_nobodys_business(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ours in ("STORE", "BROKER", "CACHE"):
        monkeypatch.delenv(f"GRIDFARM_{ours}", raising=False)
    monkeypatch.setenv(f"GRIDFARM_{name}", "1")
    assert load_config({}, folder=tmp_path) == FarmConfig()
