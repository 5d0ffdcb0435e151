"""The words of every mistake in a batch file: what is wrong, and what to write instead.

In reading order: `table` (each kind with its message and its mend), `wording` (from a finding to
a Problem), and the mends that take more than a few words: `unreadable` (YAML's), `names`,
`values`, `forms` (lists and mappings), `ranges`, `whole_file`; `written` shows a line as it should
be.
"""

from __future__ import annotations

from producer.language.mends.wording import problem_of

__all__ = ["problem_of"]
