"""What a batch needs of models is looked at before the first cell: on a hub of the test's own, and
where nobody answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, snapshot_download

from common.config import load_config
from common.errors import GridfarmError, HubError, InputFileError
from common.job import BUILTIN_MODELS, TINY_FOLDER
from common.store import open_store
from producer.cli.main import run
from producer.doctor import Check, examine
from producer.language import load_batch_file
from producer.submission import Hub, resolve
from producer.submission.needs import needs_of
from tests.support import hub_server
from tests.support.hub_server import connected, files_of
from tests.support.servers import free_port
from tests.support.whole_pictures import put_whole

COMMIT = "c" * 40
PINNED = f"someone/model@{COMMIT}"
MODEL = "prompts: [a wolf]\nseeds: 0..17\nmodel: {}\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """With the tiny SDXL as somebody's model, and an empty cache."""
    files = files_of(TINY_FOLDER / "base")
    with connected({PINNED: files}, tmp_path / "hub-cache", monkeypatch) as hub:
        yield hub


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub answers."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")


def ordered(tmp_path: Path, text: str, *, renders_here: bool = True) -> list[str]:
    """Resolve a batch file as `render` or `submit` does; what was said meanwhile."""
    said: list[str] = []
    file = load_batch_file(tmp_path / "batch.yaml", text=text, base_dir=tmp_path)
    store = open_store(str(tmp_path / "store"))
    resolve(file, Hub(store, said.append, renders_here=renders_here))
    return said


def test_the_models_of_all_cells_each_once(tmp_path: Path) -> None:
    """With the field that names each; a refiner only where it draws."""
    text = """
prompts: [a wolf]
seeds: 0..99999
axes:
  model: [sdxl, tiny]
  dtype: [fp16, fp32]
settings: {vae: own}
"""
    file = load_batch_file(tmp_path / "batch.yaml", text=text, base_dir=tmp_path)
    needs = needs_of(file.batch)
    assert {(n.field, n.written, n.dtype) for n in needs} == {
        ("model", model, dtype) for model in ("sdxl", "tiny") for dtype in ("fp16", "fp32")
    }
    refined = text.replace("vae: own", "vae: own, high_noise_frac: 0.8")
    file = load_batch_file(tmp_path / "batch.yaml", text=refined, base_dir=tmp_path)
    assert {n.written for n in needs_of(file.batch) if n.part == "refiner"} == {
        "sdxl-refiner",
        "tiny-refiner",
    }


def test_of_a_large_batch_each_model_is_found(tmp_path: Path) -> None:
    """Whatever number its cells have."""
    names = [f"someone/model-{n}" for n in range(150)]
    text = f"prompts: [a wolf]\nseeds: 0..99999\naxes: {{model: [{', '.join(names)}]}}\n"
    file = load_batch_file(tmp_path / "batch.yaml", text=text, base_dir=tmp_path)
    assert {need.written for need in needs_of(file.batch) if need.part == "base"} == set(names)


@pytest.mark.usefixtures("nobody")
def test_what_is_stored_needs_no_model(tmp_path: Path) -> None:
    """The same render again, when nothing is left to do, asks for nothing that must answer."""
    text = MODEL.format(PINNED) + "settings: {size: 64x64, vae: own}\n"
    file = load_batch_file(tmp_path / "batch.yaml", text=text, base_dir=tmp_path)
    store = open_store(str(tmp_path / "store"))
    put_whole(store, file.batch, range(17))
    with pytest.raises(HubError):
        ordered(tmp_path, text)
    put_whole(store, file.batch, [17])
    ordered(tmp_path, text)


@pytest.mark.usefixtures("nobody")
def test_without_a_hub_a_render_ends_before_its_first_cell(tmp_path: Path) -> None:
    """In one error that says what to do, and not for each of 18 cells."""
    with pytest.raises(HubError) as ended:
        ordered(tmp_path, MODEL.format(PINNED))
    assert "the hub cannot be reached for someone/model" in ended.value.message
    assert "HF_HOME" in ended.value.hint and "--model tiny" in ended.value.hint


def test_what_is_in_the_cache_needs_no_hub(
    hub: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked, nor said; for a dtype whose files are not there it is."""
    snapshot_download("someone/model", revision=COMMIT)
    hub.requests = 0
    text = MODEL.format(PINNED) + "settings: {dtype: fp32, vae: own}\n"
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        assert not [line for line in ordered(tmp_path, text) if "GPU" not in line]
    assert hub.requests == 0


@pytest.mark.usefixtures("hub")
def test_half_a_model_in_the_cache_does_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_download("someone/model", revision=COMMIT, ignore_patterns=["unet/*.safetensors"])
    text = MODEL.format(PINNED) + "settings: {dtype: fp32, vae: own}\n"
    assert "asking the hub about someone/model" in ordered(tmp_path, text)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="offline mode"):
        ordered(tmp_path, text)


def test_a_name_means_what_the_cache_has_where_nobody_knows_better(
    hub: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revision that was downloaded last, which is said."""
    hub.repositories["someone/model@main"] = hub.repositories[PINNED]
    snapshot_download("someone/model", revision=COMMIT)
    refs = Path(constants.HF_HUB_CACHE) / "models--someone--model" / "refs"
    refs.mkdir(exist_ok=True)
    (refs / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    text = MODEL.format("someone/model") + "settings: {dtype: fp32, vae: own}\n"
    said = "\n".join(ordered(tmp_path, text))
    assert "using the commit in this machine's cache, cccccccccccc" in said


def test_a_repository_without_weights_is_refused_before_anything_is_rendered(
    hub: hub_server.Hub, tmp_path: Path
) -> None:
    """By the names of its files; `submit` does as well."""
    hub.repositories[PINNED] = {
        name: data for name, data in hub.repositories[PINNED].items() if "unet" not in name
    }
    for renders_here in (True, False):
        with pytest.raises(HubError, match="cannot be loaded as a model: its folder unet"):
            ordered(tmp_path, MODEL.format(PINNED), renders_here=renders_here)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY_FOLDER / "base", tmp_path / "mine"))


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ("model: ./mine", "model ./mine"),
        ("settings: {vae: ./mine/vae}", "vae ./mine/vae"),
        ("settings: {refiner.model: ./mine, high_noise_frac: 0.8}", "refiner.model ./mine"),
    ],
)
def test_a_folder_that_misses_a_file_is_refused_with_field_and_file(
    folder: Path, tmp_path: Path, setting: str, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `plan` too, and before anything is hashed or uploaded."""
    for weights in folder.rglob("diffusion_pytorch_model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1])
    text = f"prompts: [a wolf]\n{setting}\n"
    with pytest.raises(InputFileError) as refused:
        ordered(tmp_path, text, renders_here=False)
    assert refused.value.message.startswith(f"{field}: ")
    assert "diffusion_pytorch_model.safetensors: is cut short" in refused.value.message
    file = tmp_path / "batch.yaml"
    file.write_text(text)
    assert run(["plan", str(file)]) == 2
    assert f"{field}: " in capsys.readouterr().err


def test_a_folder_that_is_half_gone_can_still_be_asked_about(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looking at a batch loads nothing."""
    (folder / "unet/config.json").unlink()
    file = tmp_path / "batch.yaml"
    file.write_text("prompts: [a wolf]\nmodel: ./mine\n")
    (tmp_path / "store").mkdir()
    assert run(["status", str(file), "--store", str(tmp_path / "store")]) == 2
    assert "unet/config.json" not in capsys.readouterr().err


@pytest.mark.parametrize("gpus", ["", "0"], ids=["no GPU", "a GPU"])
@pytest.mark.parametrize("model", ["sdxl", "tiny"])
def test_sdxl_on_a_cpu_is_warned_of(
    model: str, gpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    file = tmp_path / "batch.yaml"
    file.write_text(MODEL.format(model))
    assert run(["plan", str(file)]) == 0
    warned = "SDXL takes minutes a picture" in capsys.readouterr().err
    assert warned == (model == "sdxl" and not gpus)
    said: list[str] = []
    with_said: Any = Hub(open_store(str(tmp_path / "store")), said.append, renders_here=True)
    try:
        resolve(load_batch_file(file, base_dir=tmp_path), with_said)
    except GridfarmError as error:  # no hub in a test
        assert model == "sdxl" and BUILTIN_MODELS["sdxl"].hub_id in error.message
    assert any("SDXL takes minutes" in line for line in said) == warned


@pytest.mark.usefixtures("nobody")
def test_plan_says_what_would_have_to_come_from_a_hub_that_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And plans all the same; nothing of it for what comes with gridfarm."""
    file = tmp_path / "batch.yaml"
    for model, said in (("someone/model", True), ("tiny", False)):
        file.write_text(MODEL.format(model))
        assert run(["plan", str(file)]) == 0
        err = capsys.readouterr().err
        assert ("the hub cannot be reached for someone/model" in err) == said


def doctor(name: str) -> Check:
    return next(check for check in examine(load_config({})) if check.name == name)


def test_doctor_warns_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus, warns in (("", True), ("0", False)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        check = doctor("gpu")
        assert check.ok and check.warning == warns
        assert ("SDXL takes minutes a picture" in check.message) == warns


def test_doctor_asks_the_hub(hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once; an answer, no answer, and HF_HUB_OFFLINE, which is obeyed."""
    hub.repositories[BUILTIN_MODELS["sdxl"]] = files_of(TINY_FOLDER / "base")
    assert doctor("hub") == Check("hub", True, "answers; sdxl is not in its cache")
    assert hub.requests == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check = doctor("hub")
    assert check.ok and check.warning and "HF_HUB_OFFLINE is set" in check.message
    assert hub.requests == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    check = doctor("hub")
    assert check.ok and check.warning and "the hub cannot be reached" in check.message
