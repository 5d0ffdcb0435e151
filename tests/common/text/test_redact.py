"""No password reaches a message or a log."""

from __future__ import annotations

import pytest

from common.text import without_login, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:hush@host:9000/x", "http://host:9000/x"),
        ("cannot reach 's3://key:hush@bucket'", "cannot reach 's3://bucket'"),
        ("http://a:hush@b and http://c:hush@d", "http://b and http://d"),
        ("write to me@example.org", "write to me@example.org"),
        ("http://host/path@2x.png", "http://host/path@2x.png"),
        ("", ""),
    ],
)
def test_logins_are_taken_out_of_a_text(text: str, shown: str) -> None:
    assert without_login(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://host:6379/0"),
        ("rediss://user:p%40ss@host/1", "rediss://host/1"),
        ("redis://host", "redis://host"),
        ("redis://:with/slash@host/0", "redis://host/0"),
        ("redis://:two@signs@host/0", "redis://host/0"),
        ("redis://:line\nbreak@host/0", "redis://host/0"),
        ("rediss://host/0?ssl_ca_certs=/secret/path#x", "rediss://host/0"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
