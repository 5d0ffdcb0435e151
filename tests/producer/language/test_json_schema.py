"""The JSON Schema of batch files: never stricter than the language, and as strict as it can be."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from common.errors import BatchFileError
from producer.language import as_text, batch_schema, load_batch_file
from producer.language.json_schema import REGENERATE
from producer.language.settings import SETTINGS
from producer.language.yaml import read_yaml, to_json
from tests.support.batch_files import documents, dumped

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "batch.schema.json"
SCHEMA = batch_schema()
DRAFTS = [Draft202012Validator, Draft7Validator]
VALIDATORS = [draft(SCHEMA) for draft in DRAFTS]


def passes(text: str) -> bool:
    """Whether an editor underlines nothing, by either draft; it reads YAML 1.2, as we do."""
    instance = to_json(read_yaml(text)[0])
    new, old = (validator.is_valid(instance) for validator in VALIDATORS)
    assert new == old
    return new


def loads(text: str, folder: Path = Path("/batches")) -> bool:
    try:
        load_batch_file(None, text=text, base_dir=folder)
    except BatchFileError:
        return False
    return True


def test_the_published_file_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_text(), f"regenerate it: {REGENERATE}"


class TestSchema:
    @pytest.mark.parametrize("draft", DRAFTS)
    def test_it_is_one_by_both_drafts(self, draft: Any) -> None:
        draft.check_schema(SCHEMA)

    def test_nothing_stands_beside_a_reference(self) -> None:
        """Draft-07 would not see it."""
        assert all(len(node) == 1 for node in nodes(SCHEMA) if "$ref" in node)

    def test_everything_that_can_be_written_is_explained(self) -> None:
        """In a line; what has no words of its own is explained by the mapping it stands in."""
        for node in nodes(SCHEMA):
            for name, inner in node.get("properties", {}).items():
                if inner and name not in ("name", "top", "left", "unet", "text_encoder"):
                    assert 3 < len(resolved(inner).get("description", "")) <= 90, name

    @pytest.mark.parametrize("name", [*SETTINGS])
    def test_a_default_is_a_value(self, name: str) -> None:
        row = SCHEMA["$defs"][f"value.{name}"]
        assert Draft7Validator(row).is_valid(row["default"]) if "default" in row else True


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    if isinstance(schema, dict | list):
        for inner in schema.values() if isinstance(schema, dict) else schema:
            yield from nodes(inner)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to."""
    name = node.get("$ref", "").removeprefix("#/$defs/")
    found: dict[str, Any] = SCHEMA["$defs"][name] if name else node
    return found


def published() -> Iterator[Any]:
    """The right batch files of the examples and the documents."""
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        yield pytest.param(path.read_text(encoding="utf-8"), id=path.name)
    for page in ("README.md", "docs/batch-files.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for found in re.finditer(r"^```yaml\n((?:.*\n)*?)```$", text, re.MULTILINE):
            yield pytest.param(found[1], id=f"{page}:{text.count(chr(10), 0, found.start()) + 1}")


LORA = "prompts: [a]\nlora_files: {w: me/w}\n"
WORDS = "prompts: ['{animal}']\nwords: "
#: Corners of the language that nothing else here has.
RIGHT = [
    *("prompts:\nname:\nsettings: {prompt: a}", "prompts: 1999", "prompts: [a, 'b', true]"),
    "prompts: [a]\nname: 2024\nmodel:\nseeds:\naxes:\nexclude:\nwords:\nlora_files:\nvariants:",
    "prompts: {a: {prompt: b, refiner: {steps: 3}}, file-1: c}",
    "prompts: [{prompt: a, refiner.steps: 3, refiner: }]",
    "prompts: [x, {file: animals.txt}, {emphasise: [a, 7], with: 1.3}]",
    "prompts: {emphasise: [a, {file: animals.txt}], with: --}",
    *(f"prompts: [a]\nseeds: {seeds}" for seeds in ("5", "0 .. 9 by 3", "[13, 0..9, {random: 2}]")),
    "prompts: [a]\nseeds: {random: 8, from: 18446744073709551615, per: image}",
    "prompts: [a]\nseeds: {mine: 3, yours: {seed: 5, steps: 3}}",
    "prompts: [a]\naxes: {seed: 7, variant: {a: {}, b: }}",
    "axes: {prompt: a}",
    "prompts: [a]\nvariants: [{}, ]",
    "prompts: [a]\nvariants: {file: rows.csv}",
    "prompts: [a]\naxes: {effort: [{steps: 3}, {file: rows.csv}]}",
    "prompts: [a]\naxes: {guidance_scale: [-0.0, 1e1, 5..7.5 by 0.5, {guidance_scale: 3}]}",
    "prompts: [a]\naxes: {steps: {few: 3, many: {steps: 50, size: 64 × 64}}}",
    "prompts: [a]\naxes: {scheduler: [~, K Euler_A, {name: euler}, {scheduler: lcm, steps: 4}]}",
    "prompts: [a]\naxes: {crop: [{}, {left: 3}, {crop: {top: 3}, steps: 2}, ]}",
    "prompts: [a]\naxes: {refiner: [{}, {model: me/r}], model: {a: me/b}}",
    "prompts: [a]\naxes: {refiner.strength: [0.3], negative_prompt: [~, '', b]}",
    f"{LORA}settings: {{loras.w: 1, loras: }}\naxes: {{lora_scale: 0..1 by 0.5}}",
    f"{LORA}axes: {{loras: [{{}}, {{w: {{unet: 1}}}}]}}\nexclude: [{{loras: {{w: {{unet: 1}}}}}}]",
    f"{LORA}axes: {{loras.w: [0..1, {{unet: 1, text_encoder: 0}}, {{loras.w: 3, steps: 1}}]}}",
    "prompts: [a]\naxes: {loras: [{}, {files: '*.safetensors'}], model: {files: '*.safetensors'}}",
    f"{WORDS}{{animal: [wolf, 7, {{file: animals.txt}}]}}",
    f"{WORDS}{{animal: {{a: wolf, b: {{animal: cat, steps: 3}}}}}}",
    f"{WORDS}{{animal: {{emphasise: [wolf, cat], with: ++}}}}",
    "prompts: {a: b, c: d}\nseeds: 0..9\nexclude: [{prompt: a, seed: [1, 3..4, '> 8']}]\nonly: []",
    "prompts: [a]\naxes: {negative_prompt: [~, b]}\nonly: [{negative_prompt: }]",
]  # fmt: skip

#: Mistakes of form, which the schema sees too.
WRONG = [
    *("", "[a]", "prompts: [a]\nsede: 1", "prompt: [a]", "prompts: []", "prompts: {}"),
    *("prompts: [[a]]", "prompts: [~]", "prompts: [{promt: a}]", "prompts: {a: {prompt: [b]}}"),
    "prompts: {fil: a.txt, file: a.txt}",
    *("prompts: {emphasise: [a]}", "prompts: {emphasise: [], with: ++}"),
    *("prompts: {emphasise: [a], with: +-}", "prompts: {emphasise: [a], wiht: ++, with: ++}"),
    *(f"prompts: [a]\nseeds: {seeds}" for seeds in (
        "0-9", "many", "[5.5]", "{random: 8, form: 7}", "{random: 0}", "{random: 1, per: cell}",
        "[-1]", "{a: 0..9}", "{a: {random: 3}}", "{files: x}",
        "{random: 10001}", "1..",
    )),
    *("prompts: [a]\nsettings: [a]", "prompts: [a]\nsettings: {step: 3}"),
    *("prompts: [a]\nsettings: {refiner: {step: 3}}", "prompts: [a]\nsettings: {words.a: b}"),
    *("prompts: [a]\nvariants: a", "prompts: [a]\nvariants: {a: 3}"),
    *("prompts: [a]\nvariants: {random: 3}", "prompts: [a]\nvariants: {a: {steps: {b: 3}}}"),
    *(f"prompts: [a]\naxes: {{{axis}}}" for axis in (
        "steps: ", "steps: 5", "steps: []", "steps: [many]", "guidence_scale: [1, 2]",
        "prompts: [b]", "words: {a: {}}", "size: {files: x}", "steps: {emphasise: [a], with: +}",
        "refiner: [{step: 3}]", "refiner.step: [3]", "dtype: [fp8]", "effort: [3]",
        "loras: [{w: {unte: 1}}]",
    )),
    f"{LORA}settings: {{loras.w: {{unet: big}}}}",
    *("lora_files: {w: [a]}\nprompts: [a]", "lora_files: {w: }\nprompts: [a]"),
    *(f"{WORDS}{words}" for words in ("[wolf]", "{animal: wolf}", "{animal: [[wolf]]}")),
    *("prompts: [a]\nexclude: {prompt: a}", "prompts: [a]\nexclude: [{}]"),
    *("prompts: [a]\nonly: [{prompt: []}]", "prompts: [a]\nonly: [a]", "prompts: [a]\nname: [b]"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("batches")
    (found / "animals.txt").write_text("a wolf\na cat\n")
    (found / "rows.csv").write_text("name,size\na,64x64\nb,128x64\n")
    (found / "one.safetensors").touch()
    return found


class TestLanguage:
    @pytest.mark.parametrize("text", published())
    def test_what_we_publish_passes(self, text: str) -> None:
        assert passes(text)

    @pytest.mark.parametrize("text", RIGHT)
    def test_what_loads_passes(self, text: str, folder: Path) -> None:
        assert (loads(text, folder), passes(text)) == (True, True)

    @pytest.mark.parametrize("text", WRONG)
    def test_a_mistake_of_form_is_one_to_both(self, text: str, folder: Path) -> None:
        assert (loads(text, folder), passes(text)) == (False, False)

    @given(documents())
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    def test_a_file_within_the_language_passes(self, document: dict[str, Any]) -> None:
        assert passes(dumped(document))

    @given(documents(), st.data())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def test_a_file_with_something_else_in_one_place_passes_if_it_loads(
        self, document: dict[str, Any], data: st.DataObject
    ) -> None:
        text = dumped(changed(document, data))
        assert passes(text) or not loads(text)


ELSE = [
    *(None, True, 0, 1, -1, 0.5, 7.0, 1000, "", "a", "5", "0..9", "0..1 by 0.5", "64x64", "euler"),
    *("me/x", "cpu", [], ["a"], [1, "2..3"], [{}], {}, {"x": 1}, {"prompt": "b"}, {"steps": 3}),
    *({"top": 1}, {"name": "euler"}, {"random": 2}, {"unet": 1}, {"a": None}, [{"seed": 3}]),
]


def changed(document: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """With one node replaced by something that is right elsewhere."""
    document = copy.deepcopy(document)
    places = [(node, key) for node in containers(document) for key in keys(node)]
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(st.sampled_from(ELSE))
    return document


def containers(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        yield node
        for key in keys(node):
            yield from containers(node[key])


def keys(node: dict[str, Any] | list[Any]) -> list[Any]:
    return [*node] if isinstance(node, dict) else [*range(len(node))]


def number(low: float, high: float, step: float) -> tuple[list[Any], list[Any]]:
    outside = [low - step, high + step, "many", str(low), None, True, [low]]
    return [low, high, low + step], outside


def choice(*names: str) -> tuple[list[Any], list[Any]]:
    return [*names], [f"{names[0]}s", names[0].upper(), None, 3, [names[0]]]


TEXT = (["a wolf", "", 1999, True], [None, ["a"], {"a": "b"}])
TEXT_OR_NONE = ([*TEXT[0], None], TEXT[1][1:])
SOURCE = (["me/mine", "./mine.safetensors"], [None, True, 5, ["me/mine"], {"a": "b"}])
PIXELS = (["1024x1024", "64 X 8192", "512*512"], ["big", "1024", 1024, None, ["64x64"]])
STRENGTH = ([0, -1000, 1000, {}, {"unet": 1}], [1000.5, "1", None, {"unte": 1}, {"unet": None}])
FRACTION = ([0.001, 1, 1.0], [0, 1.001, "many", None, True])
#: What each setting takes and what it does not, at its bounds and beyond them.
AGREED = {
    "model": (["sdxl", "tiny", *SOURCE[0]], SOURCE[1]),
    "prompt": TEXT,
    "prompt_2": TEXT,
    "negative_prompt": TEXT_OR_NONE,
    "negative_prompt_2": TEXT,
    "seed": number(0, 2**64 - 1, 1),
    "noise": choice("cpu", "cuda"),
    "steps": number(1, 1000, 1),
    "guidance_scale": number(0, 100, 0.5),
    "high_noise_frac": FRACTION,
    "size": PIXELS,
    "original_size": (["1x16384", *PIXELS[0]], PIXELS[1]),
    "target_size": (["1x16384", *PIXELS[0]], PIXELS[1]),
    "crop": (
        [None, {}, {"top": 0, "left": 16_384}],
        [{"top": -1}, {"left": 16_385}, {"top": 1.5}, {"right": 1}, 5, [1]],
    ),
    "scheduler": (
        [None, "default", "DPM++ 2M Karras", {"name": "euler", "timestep_spacing": "trailing"}],
        [True, 3, ["euler"], {"timestep_spacing": "trailing"}, {"name": "euler", "timestep": 1},
         {"name": "euler", "steps_offset": 101}, {"name": "euler", "use_karras_sigmas": "yes"}],
    ),
    "loras": (
        [None, {}, *({"x": strength} for strength in STRENGTH[0])],
        ["x", ["x"], 1, *({"x": strength} for strength in STRENGTH[1])],
    ),
    "loras.x": STRENGTH,
    "lora_scale": number(-1000, 1000, 0.5),
    "vae": (["fp16-fix", "own", *SOURCE[0]], SOURCE[1]),
    "dtype": choice("fp16", "fp32", "bf16"),
    "long_prompts": choice("truncate", "chunk"),
    "refiner.model": (["sdxl-refiner", *SOURCE[0]], SOURCE[1]),
    "refiner.steps": number(1, 1000, 1),
    "refiner.guidance_scale": number(0, 100, 0.5),
    "refiner.strength": FRACTION,
    "refiner.aesthetic_score": number(0, 100, 0.5),
    "refiner.negative_aesthetic_score": number(0, 100, 0.5),
    "refiner.prompt": TEXT,
    "refiner.negative_prompt": TEXT_OR_NONE,
}  # fmt: skip


class TestValues:
    def test_no_setting_is_forgotten(self) -> None:
        assert AGREED.keys() == {*SETTINGS, "loras.x"}

    @pytest.mark.parametrize("name", AGREED)
    def test_the_loader_and_the_schema_agree(self, name: str) -> None:
        """Under settings, flat and nested, and as a value of an axis, with and without a name."""
        group, _, inner = name.partition(".")
        for right, values in zip((True, False), AGREED[name], strict=True):
            for value in values:
                nested = {group: {inner: value}} if inner else {}
                texts = [file_of(settings=part) for part in ({name: value}, nested) if part]
                texts += [file_of(axes={name: axis}) for axis in ([value], {"label": value})]
                for text in texts:
                    assert (loads(text), passes(text)) == (right, right), text


def file_of(**parts: dict[str, Any]) -> str:
    """A batch file of the parts that has a prompt."""
    prompts = {} if any("prompt" in part for part in parts.values()) else {"prompts": ["a"]}
    return dumped({**prompts, "lora_files": {"x": "me/x"}, **parts})
