"""References of models: every kind, the same text back, and nothing else taken for one."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from common.job import BUILTIN_MODELS, HubName, ModelRef, builtin_models, is_hub_id
from common.job.model_ref import KINDS

COMMIT, SHA256 = "0123456789" * 4, "ab" * 32
HUB = f"some-one/my.model_2@{COMMIT}"

#: Text → kind, hub id, revision, hash, the name for people.
REFS = {
    "tiny@3": ("builtin", "", "3", "", "tiny"),
    "tiny-refiner@12": ("builtin", "", "12", "", "tiny-refiner"),
    HUB: ("hub", "some-one/my.model_2", COMMIT, "", "some-one/my.model_2"),
    f"tree:{SHA256}": ("tree", "", "", SHA256, "model folder abababababab"),
    f"file:{SHA256}": ("file", "", "", SHA256, "checkpoint abababababab"),
}


@pytest.mark.parametrize("text", REFS)
def test_each_kind_is_parsed(text: str) -> None:
    ref = ModelRef(text)
    assert (ref.kind, ref.hub_id, ref.revision, ref.sha256, ref.short_name) == REFS[text]


def test_there_is_an_example_of_every_kind() -> None:
    assert {kind for kind, *_ in REFS.values()} == set(KINDS)


@pytest.mark.parametrize("text", REFS)
def test_it_is_its_text(text: str) -> None:
    """As JSON, as a canonical one, as a key of a mapping, and in messages."""
    ref = ModelRef(text)
    assert (f"{ref}", repr(ref), ref, hash(ref)) == (text, repr(text), text, hash(text))
    assert json.dumps(ref) == json.dumps(text)
    assert rfc8785.dumps(ref) == rfc8785.dumps(text)


@pytest.mark.parametrize("text", REFS)
@pytest.mark.parametrize("again", [copy.deepcopy, lambda ref: pickle.loads(pickle.dumps(ref))])
def test_copies_know_as_much(text: str, again: object) -> None:
    assert callable(again)
    ref = again(ModelRef(text))
    assert (ref, ref.kind, ref.revision) == (text, REFS[text][0], REFS[text][2])


@pytest.mark.parametrize("text", REFS)
def test_round_trip_through_pydantic(text: str) -> None:
    """A field of this type is text in JSON and parsed when it is read."""
    field = TypeAdapter(ModelRef)
    ref = field.validate_json(field.dump_json(ModelRef(text)))
    assert (ref, ref.kind) == (text, REFS[text][0])
    assert field.dump_python(ref, mode="json") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sdxl",
        "tiny",
        "tiny@",
        "tiny@x",
        "tiny@٣",
        "tiny-@3",
        "other@3",
        "owner/name",
        "owner/name@main",
        f"owner/name@{COMMIT[:-1]}",
        f"owner/name@{COMMIT.replace('a', 'A')}0",
        f"owner@{COMMIT}",
        f"-owner/name@{COMMIT}",
        f"a/b/c@{COMMIT}",
        f"../name@{COMMIT}",
        f"ówner/name@{COMMIT}",
        f"{HUB}\n",
        f"{'n' * 300}/name@{COMMIT}",
        f"tree:{SHA256[:-1]}",
        f"tree:{SHA256.upper()}",
        f"TREE:{SHA256}",
        f"lora:{SHA256}",
        f"file:../{SHA256}",
        "../../etc/passwd",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no reference of a model"):
        ModelRef(text)
    with pytest.raises(ValidationError):
        TypeAdapter(ModelRef).validate_python(text)


@given(st.text(max_size=60) | st.from_regex(r"[a-z./:@-]{0,40}[0-9a-f]{40,64}"))
def test_any_other_text_is_refused_or_given_back(text: str) -> None:
    try:
        assert ModelRef(text) == text
    except ValueError as error:
        assert "is no reference of a model" in str(error)


class TestHubName:
    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("owner/name", HubName("owner/name")),
            ("owner/name@main", HubName("owner/name", "main")),
            ("owner/name/a.safetensors", HubName("owner/name", "", "a.safetensors")),
            ("o/n@v1.0/a/b.safetensors", HubName("o/n", "v1.0", "a/b.safetensors")),
            ("loras/style.safetensors", None),
            ("word", None),
            ("./folder", None),
            ("owner/name/a.ckpt", None),
            ("owner/name\n", None),
        ],
    )
    def test_names_as_people_write_them(self, written: str, name: HubName | None) -> None:
        assert HubName.parse(written) == name

    def test_at_a_commit_it_is_a_reference(self) -> None:
        assert HubName("owner/name", "main").at(COMMIT) == ModelRef(f"owner/name@{COMMIT}")
        with pytest.raises(ValueError, match="no reference"):
            HubName("owner/name").at("main")

    def test_in_messages(self) -> None:
        assert f"{HubName('owner/name', 'v2', 'a.safetensors')}" == "owner/name@v2"
        assert f"{HubName('owner/name')}" == "owner/name"


class TestPinned:
    @pytest.mark.parametrize("word", BUILTIN_MODELS)
    def test_our_words_are_pinned(self, word: str) -> None:
        assert builtin_models.pinned(word) == BUILTIN_MODELS[word]

    def test_a_hub_id_with_its_commit_is_pinned_by_that(self) -> None:
        assert builtin_models.pinned(HUB) == HUB

    @pytest.mark.parametrize("written", ["owner/name", "owner/name@main", "./x", "tiny@3", "nobody",
                                         f"file:{SHA256}"])  # fmt: skip
    def test_the_rest_is_looked_up(self, written: str) -> None:
        """Whoever writes `file:<hash>` means a file of that name."""
        assert builtin_models.pinned(written) is None


@pytest.mark.parametrize("written", ["a/b", "a/b@main", "a/b@refs/pr/1"])
def test_hub_ids(written: str) -> None:
    assert is_hub_id(written)


@pytest.mark.parametrize("written", ["a", "/a", "a/", "a/b/c", "a b/c", "a/b@", "a/b\n"])
def test_no_hub_ids(written: str) -> None:
    assert not is_hub_id(written)
