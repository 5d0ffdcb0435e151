"""What was meant by a store's URL that is none, so that no folder named `s3:` is made of it.

A folder is taken for one where nothing speaks against that: a path from the root, from the home or
from here, or a name that does not begin as a URL does.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from common.errors import UsageError

FORMS = (
    "set GRIDFARM_STORE to s3://bucket/prefix (with AWS_ENDPOINT_URL_S3 for a server that is not"
    " AWS) or to a folder"
)
Match = re.Match[str]

_RIGHT = re.compile(r"[/~.]|s3://[^/]|file:/(?!/[^/])|file://[^/]", re.IGNORECASE)


def check_url(url: str) -> None:
    """Raises UsageError for what is neither a bucket nor, beyond doubt, a folder; what was meant is
    its hint."""
    if _RIGHT.match(url):
        return
    for pattern, mend in _MISTAKES:
        if found := re.match(pattern, url, re.IGNORECASE | re.DOTALL):
            # A secret key may have any character, and stands before the last @.
            shown = re.sub(r":.*@", ":…@", url, flags=re.DOTALL)
            raise UsageError(f"{shown!r} is not a store that gridfarm knows", hint=mend(found))


def _bucket(found: Match) -> str:
    place = "/".join(part.strip("/") for part in found.groups() if part and part.strip("/"))
    return f"did you mean s3://{place}?" if place and "@" not in place else FORMS


def _server(found: Match) -> str:
    server = re.sub(r"//.*@", "//", found["server"])
    server = server if "://" in server else f"http://{server}"
    place = (found["place"] or "").strip("/") or "bucket/prefix"
    mend = f"for a server that speaks S3, write s3://{place} and set AWS_ENDPOINT_URL_S3={server}"
    return mend if "://" in found[0] else f"{mend}; a folder of this name is ./{found[0]}"


def _of_a_folder(found: Match) -> str:
    mounted = "mount a folder of another machine, and name it as it is called here: /mnt/renders"
    return mounted if "@" in found[0] else f"{mounted}; a folder of this name is ./{found[0]}"


#: How each mistake begins, and what to write instead; the first one counts.
_MISTAKES: tuple[tuple[str, Callable[[Match], str]], ...] = (
    ("$", lambda _: FORMS),
    ("[\"']", lambda _: "it begins with a quote: a file of environment variables needs none"),
    ("rediss?:", lambda _: f"that is a broker, for GRIDFARM_BROKER; {FORMS}"),
    ("file:", lambda _: "a folder's URL has three slashes: file:///mnt/renders"),
    # s3:/bucket, s3:bucket, s3//bucket, and as other programs write it: s3a://bucket
    (r"s3[an]?(?::/*|//+)(.*)", _bucket),
    (r"https?://(?:([a-z0-9.-]+)\.)?s3[.-][a-z0-9.-]*amazonaws\.com(?::\d+)?([^?#]*)", _bucket),
    (r"(?P<server>https?://[^/?#]+)(?P<place>[^?#]*).*", _server),
    (r"[a-z][a-z0-9+.-]*://", lambda _: FORMS),
    # minio:9000/bucket, which has lost its http://
    (r"(?P<server>[a-z0-9][a-z0-9.-]*:\d{1,5})(?P<place>/.*|$)", _server),
    # as scp and NFS name a folder of another machine
    (r"(?:[\w.-]+@)?[a-z0-9][a-z0-9.-]*:/.*", _of_a_folder),
    (r"(?:gs|az|hf|https?):", lambda _: FORMS),
)
