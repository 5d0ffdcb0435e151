"""Inputs as a stranger would write them: valid ones, changed a little or a lot.

What is only noise is refused at its first byte; so most start from something valid, and one or
a few places of it are changed, in its bytes or in its tree. JSON and PNGs that were changed
inside are put together again as they must be, checksums included.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from common.dispatch import TASK_NAME, queue_name
from common.job import Job
from common.picture import PictureMeta, encode_picture
from common.picture.metadata import KEYWORD, SIGNATURE
from tests.support.batch_files import documents, dumped
from tests.support.orders import frozen
from tests.support.stub_worker import stub_picture

LONG = 3_000
DEEP: Any = json.loads('{"a":[' * 60 + "1" + "]}" * 60)

#: Texts that some reader, terminal, file system or parser takes for more than a text.
TEXTS = [
    "", " ", "\0", "\x1b[2J\x1b]0;owned\x07", "\u009b31m", "\u202ecod.exe", "\ufeff", "𝕏" * 50,
    "../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../b", "CON", "~root", "x" * LONG,
    "1e999", "NaN", "-0", "9" * 5000, "99999999x99999999", "0x0", "100000x100000", "8x8",
    "0..99999999999999999999", "0..1 by 0", "5..1", "0..1e9", "0..2 by 1e-9", "> 1e999", "!a",
    "tree:" + "0" * 64, "file:" + "f" * 64, "a/..@" + "0" * 40, "tiny@3", "tiny@999999", "sdxl",
    "(" * 300, "{a}" * 900, "{{", "{a|b}", '("a", "b").blend(1)', "<lora:x:1>", "()++",
    "!!python/object/apply:os.system", "<<", "__proto__", "__class__", "gridfarm", "active/x",
]  # fmt: skip

NUMBERS = [-1, 0, 2**31, 2**53, 2**63, 2**64, 10**30, -0.0, 1e308, 1e-320, float("nan"),
           float("inf"), -float("inf"), True, None]  # fmt: skip

values = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.integers(-3, 70_000),
    st.floats(-10, 3000),
    st.text(max_size=40),
    st.sampled_from([[], {}, [[]], DEEP, [None], {"": None}, {"from": "x"}, ["x"] * 500]).map(
        deepcopy
    ),
)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a tree of JSON: its container and its key there."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(entries):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _change(draw: st.DrawFn, tree: Any) -> None:
    """At one place: another value, none, the value of another place, or one more entry."""
    places = list(_places(tree))
    if not places:
        return
    node, key = draw(st.sampled_from(places))
    how = draw(st.sampled_from(["replace", "replace", "delete", "move", "add", "wrap"]))
    if how == "delete":
        del node[key]
    elif how == "add" and isinstance(node, dict):
        node[draw(st.sampled_from(TEXTS))] = draw(values)
    elif how == "move":
        other, there = draw(st.sampled_from(places))
        taken = other[there] if not isinstance(other[there], dict | list) else None
        node[key] = taken
    elif how == "wrap":
        node[key] = [node[key]]
    else:
        node[key] = draw(values)


@st.composite
def changed(draw: st.DrawFn, tree: Any) -> Any:
    """A copy of a tree of JSON with one to four changes."""
    copy = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 4))):
        _change(draw, copy)
    return copy


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with up to six flipped, cut out, doubled, put in or cut off."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(made)))
        many = draw(st.integers(1, 40))
        how = draw(st.sampled_from(["flip", "cut out", "double", "put in", "cut off"]))
        if how == "flip" and at < len(made):
            made[at] ^= draw(st.integers(1, 255))
        elif how == "cut out":
            del made[at : at + many]
        elif how == "double":
            made[at:at] = made[at : at + many]
        elif how == "cut off":
            del made[max(at, len(made) // 2) :]
        else:
            made[at:at] = draw(st.binary(max_size=20) | st.sampled_from(TEXTS).map(str.encode))
    return bytes(made)


# --- batch files

#: Files with a purpose.
YAML = [
    "prompts: [a]\nx: &a [*a]\n",
    "a: &a [x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    ),
    "prompts: !!python/object/apply:os.system ['true']\n",
    "prompts: " + "[" * 2000 + "\n",
    "? [a, b]\n: c\n", "--- a\n--- b\n", "%YAML 9.9\n---\na: 1\n", "prompts:\n\t- a\n",
    "prompts: [a]\nprompts: [b]\n", "prompts: [a]\nseeds: 0..999999999999\n",
    "prompts: [a]\naxes: {steps: 1..1000, guidance_scale: 0..100 by 0.0001}\n",
    "prompts: [a]\nseeds: {random: 99999999999}\n",
    "prompts: ['{a}']\nwords: {a: ['{b}{b}'], b: ['{a}']}\n",
    "prompts: ['" + "{a}" * 5000 + "']\nwords: {a: ['" + "x" * 19000 + "']}\n",
    "prompts: [{file: /etc/passwd}]\n", "prompts: [{file: ../../../../etc/hostname}]\n",
    "prompts: [{file: /dev/zero}]\n",
    "axes: {model: {files: '../**/*.safetensors'}}\nprompts: [a]\n",
    "prompts: [a]\nmodel: ../../../etc/passwd\n", "prompts: [a]\nmodel: /dev/zero\n",
    "prompts: [a]\nmodel: evil.ckpt\n", "prompts: [a]\nlora_files: {'../x': ./a.pt}\n",
    "prompts: [a]\nsettings: {size: 8192x8192, steps: 1000000000}\n",
    "prompts: [a]\nname: '../../x'\n", "prompts: ['" + "(" * 500 + "']\n",
    "", "\0", "\ufeffprompts: [a]\n", "prompts: [a]\r\rseeds: 1\r",
]  # fmt: skip


@st.composite
def batch_files(draw: st.DrawFn) -> bytes:
    """Batch files as text: valid ones changed in their tree or bytes, and some with a purpose."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from(YAML).map(str.encode) | st.binary(max_size=200))
    if kind == 1:
        return draw(damaged(draw(st.sampled_from(YAML)).encode()))
    document = draw(documents())
    if kind == 2:
        return dumped(document).encode()
    if kind <= 4:
        return draw(damaged(dumped(document).encode()))
    return _as_yaml(draw(changed(document)))


def _as_yaml(tree: Any) -> bytes:
    """JSON is YAML, but for numbers that are none."""
    return (dumped(tree) if isinstance(tree, dict) else json.dumps(tree)).encode(errors="replace")


# --- stored documents


@cache
def stored_batch() -> Any:
    more = """settings: {size: 64x64, steps: 2, scheduler: {name: ddim, timestep_spacing: trailing}}
variants: {plain: {}, other: {negative_prompt: "", high_noise_frac: 0.8}}
words: {animal: [wolf, cat]}
axes: {guidance_scale: 1..2 by 0.5, noise: [cpu]}
exclude: [{variant: other, seed: "> 1"}]
"""
    batch = frozen("night", more=more)
    return json.loads(batch.to_bytes())


@st.composite
def batch_documents(draw: st.DrawFn) -> bytes:
    """`batch.json`: most still are JSON, and some a Batch, with settings that none writes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(damaged(json.dumps(stored_batch()).encode()))
    return json.dumps(draw(changed(stored_batch()))).encode(errors="replace")


CONTROL = {"state": "rendering", "generation": 3, "priority": 1, "submitted": 1.0, "retried": 0}


@st.composite
def small_documents(draw: st.DrawFn) -> bytes:
    """`control.json`, and what has to do with one failed cell."""
    start = draw(st.sampled_from([CONTROL, {"i": 1, "key": "0" * 64, "reason": "why"}]))
    if draw(st.booleans()):
        return draw(damaged(json.dumps(start).encode()))
    return json.dumps(draw(changed(start))).encode(errors="replace")


# --- messages


def message(batch_id: str, i: int, tag: str) -> dict[str, Any]:
    """As `lua/feeding.lua` writes it."""
    embedded = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    name = f"{batch_id}:{i}:0:1"
    return {
        "body": json.dumps([[batch_id, i, 0], {}, embedded]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK_NAME, "id": name, "root_id": name,
                    "argsrepr": "", "kwargsrepr": "", "ignore_result": True},
        "properties": {"correlation_id": name, "delivery_mode": 2, "delivery_tag": tag,
                       "priority": 0,
                       "delivery_info": {"exchange": "", "routing_key": queue_name()}},
    }  # fmt: skip


EVIL_HEADERS = [
    {"task": "celery.chord_unlock"}, {"task": "os.system"}, {"eta": "2099-01-01T00:00:00"},
    {"expires": "x"}, {"retries": -1}, {"timelimit": [0, 0]}, {"compression": "bzip2"},
    {"group": "x"}, {"stamped_headers": ["a"]}, {"id": None}, {"lang": "c"},
]  # fmt: skip
EVIL_TYPES = ["application/x-python-serialize", "application/x-yaml", "application/data", "text/x"]


@st.composite
def messages(draw: st.DrawFn, batch_id: str) -> bytes:
    """Raw items of the queue's list; `batch_id` is one that is being rendered."""
    whole = message(batch_id, draw(st.integers(0, 9)), f"tag-{draw(st.integers(0, 2**40))}")
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return draw(st.binary(max_size=60) | st.sampled_from([b"[" * 50_000, b"null", b"{}"]))
    if kind == 1:
        return draw(damaged(json.dumps(whole).encode()))
    if kind == 2:
        whole["headers"] |= draw(st.sampled_from(EVIL_HEADERS))
    elif kind == 3:
        whole["content-type"] = draw(st.sampled_from(EVIL_TYPES))
    elif kind == 4:
        whole["body"] = json.dumps(draw(changed(json.loads(whole["body"]))))
    elif kind == 5:
        return json.dumps(draw(changed(whole))).encode(errors="replace")
    return json.dumps(whole).encode()


# --- pictures and sidecars


@cache
def _stored_job() -> Job:
    return Job(model="tiny@3", dtype="fp32", prompt="a wolf", seed=7, width=64, height=64, steps=2,
               guidance_scale=5)  # fmt: skip


@cache
def _stored() -> tuple[bytes, bytes]:
    """A picture as it is stored, and its sidecar."""
    job = _stored_job()
    made = encode_picture(stub_picture(job), PictureMeta(job, {"device": "stub"}, {"denoise": 0.1}))
    return made.png, made.sidecar


def stored_cell() -> Any:
    """The cell whose picture that is."""
    return SimpleNamespace(job=_stored_job(), key=_stored_job().key, i=0, labels={})


def stored_png() -> bytes:
    return _stored()[0]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def split(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        found.append((kind, png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def with_text(text: bytes) -> bytes:
    """The stored picture with another `gridfarm` text."""
    plain = KEYWORD.encode() + b"\0\0\0\0\0"
    chunks = split(_stored()[0])
    return joined([(k, plain + text if data.startswith(plain) else data) for k, data in chunks])


@st.composite
def sidecars(draw: st.DrawFn) -> bytes:
    """The JSON beside a picture, which is also the text in it."""
    sidecar = _stored()[1]
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(sidecar))
    tree = draw(changed(json.loads(sidecar)))
    if isinstance(tree, dict) and draw(st.booleans()):
        tree["key"] = _own_key(tree)
    text = json.dumps(tree).encode(errors="replace")
    return text.replace(b"{", b'{"version":1,', 1) if draw(st.booleans()) else text


def _own_key(tree: dict[str, Any]) -> Any:
    """The key that the changed job has, where it still is one."""
    try:
        return Job.from_json(tree["job"]).key
    except Exception:
        return "0" * 64


HEADERS = [(2**31 - 1, 2**31 - 1, 8, 2), (0, 0, 8, 2), (100_000, 100_000, 16, 6), (64, 64, 3, 9),
           (20_000, 20_000, 8, 2), (64, 65, 8, 2)]  # fmt: skip
BOMB = zlib.compress(b"\0" * 30_000_000)
CHUNKS = [
    (b"zTXt", b"x\0\0" + BOMB), (b"iTXt", b"x\0\1\0\0\0" + BOMB), (b"iCCP", b"x\0\0" + BOMB),
    (b"iTXt", KEYWORD.encode() + b"\0\1\0\0\0" + BOMB), (b"tEXt", b"x\0" + b"a" * 1_500_000),
    (b"iTXt", KEYWORD.encode() + b"\0\0\0\0\0{}"), (b"IHDR", b""), (b"IEND", b""), (b"PLTE", b"x"),
    (b"acTL", struct.pack(">II", 2**31, 0)), (b"tRNS", b"x"), (b"gAMA", b""), (b"eXIf", b"II*\0"),
    (b"\xff\xff\xff\xff", b""), (b"IDAT", BOMB), (b"IDAT", b""), (b"pHYs", b"xx"),
]  # fmt: skip


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """Stored pictures with bytes changed, or with chunks put in, taken out, doubled, moved or
    replaced and all lengths and checksums right."""
    png = _stored()[0]
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged(png))
    chunks = split(png)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(chunks) - 1))
        how = draw(st.sampled_from(["in", "out", "double", "size", "data", "swap"]))
        if how == "in":
            chunks.insert(at + 1, draw(st.sampled_from(CHUNKS)))
        elif how == "out" and len(chunks) > 1:
            del chunks[at]
        elif how == "size" and chunks[0][0] == b"IHDR":
            chunks[0] = (b"IHDR", struct.pack(">IIBB", *draw(st.sampled_from(HEADERS))) + b"\0\0\0")
        elif how == "data":
            chunks[at] = (chunks[at][0], draw(damaged(chunks[at][1] or b"\0")))
        elif how == "swap":
            chunks[0], chunks[at] = chunks[at], chunks[0]
        else:
            chunks.insert(at, chunks[at])
    return joined(chunks)


def _with(*added: tuple[bytes, bytes], size: tuple[int, int] = (64, 64)) -> bytes:
    """The stored picture of another size and with chunks behind its header."""
    (_, header), *rest = split(stored_png())
    return joined([(b"IHDR", struct.pack(">II", *size) + header[8:]), *added, *rest])


def _of_another_cell() -> bytes:
    return picture_of(Job.from_json(_stored_job().to_json() | {"seed": "8"}))


def picture_of(job: Job) -> bytes:
    return encode_picture(stub_picture(job), PictureMeta(job, {}, {})).png


PURPOSEFUL_PNGS = {
    "2^31 pixels a side": _with(size=(2**31 - 1, 2**31 - 1)),
    "400 million pixels": _with(size=(20_000, 20_000)),
    "another size": _with(size=(64, 128)),
    "zTXt bomb": _with((b"zTXt", b"x\0\0" + BOMB)),
    "iTXt bomb": _with((b"iTXt", b"x\0\1\0\0\0" + BOMB)),
    "another cell's": _of_another_cell(),
    "no PNG": b"GIF89a",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "no pixels": stored_png()[:-2000],
}
