"""Text for people: names that are offered, and what others wrote made safe to show.

suggest      the "did you mean" of messages
near_paths   the same for files and folders
escape       control characters made visible
letters      which characters a name keeps
redact       URLs without their secrets
"""

from __future__ import annotations

from common.text.escape import escaped
from common.text.letters import is_letter, words_of
from common.text.near_paths import mean_path, near_path
from common.text.redact import without_login, without_password
from common.text.suggest import COMPARED, ELSEWHERE, LISTED, closest, suggestion

__all__ = [
    "COMPARED",
    "ELSEWHERE",
    "LISTED",
    "closest",
    "escaped",
    "is_letter",
    "mean_path",
    "near_path",
    "suggestion",
    "without_login",
    "without_password",
    "words_of",
]
