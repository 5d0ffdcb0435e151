"""How what is missing here can be installed: a command that works for the gridfarm that runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "gridfarm"

#: What a package's metadata may call the place of its source.
_REPOSITORY = re.compile(r"^(repository|source|source code|homepage)$", re.IGNORECASE)


def install_command(extra: str) -> str:
    """What installs an extra, such as `local`, beside the gridfarm that runs."""
    if wanted := Source.of_this().requirement(extra):
        return f"{_pip()} install {wanted}"
    return f"{_pip()} install '.[{extra}]' in a clone of gridfarm's repository"


@dataclass(frozen=True)
class Source:
    """Where the gridfarm that runs was installed from: a folder on this machine, or a URL that
    pip knows. Its name alone is nothing that an index has to know."""

    folder: Path | None = None
    editable: bool = False
    url: str = ""

    @classmethod
    def of_this(cls) -> Source:
        try:
            found: Distribution | None = distribution(DISTRIBUTION)
        except PackageNotFoundError:
            found = None
        return cls.of(found, Path(__file__).parents[1])

    @classmethod
    def of(cls, installed: Distribution | None, beside: Path) -> Source:
        """Of what is `installed`, while the code that runs lies in the folder `beside`."""
        if _is_clone(beside):
            return cls(beside, editable=True)
        if installed is None:
            return cls()
        direct = _direct_url(installed)
        if direct.folder and not _is_clone(direct.folder):
            return cls(url=_repository(installed))
        return direct if direct.folder or direct.url else cls(url=_repository(installed))

    def requirement(self, extra: str) -> str:
        """What follows `pip install`, quoted for a shell; "" where nobody can tell."""
        if self.folder:
            here = self.folder == Path.cwd()
            path = "." if here else str(self.folder)
            return f"{'-e ' if self.editable else ''}{_quoted(f'{path}[{extra}]')}"
        return _quoted(f"{DISTRIBUTION}[{extra}] @ {self.url}") if self.url else ""


def _direct_url(installed: Distribution) -> Source:
    """What pip has noted of a package that it did not take from an index (PEP 610)."""
    try:
        noted = json.loads(installed.read_text("direct_url.json") or "{}")
        url, folder = str(noted.get("url", "")), noted.get("dir_info")
        vcs = noted.get("vcs_info") or {}
    except (ValueError, AttributeError, OSError):
        return Source()
    if folder is not None:
        path = Path(unquote(urlsplit(url).path))
        return Source(path, editable=bool(folder.get("editable")))
    if vcs:
        revision = vcs.get("requested_revision")
        return Source(url=f"{vcs.get('vcs')}+{url}" + (f"@{revision}" if revision else ""))
    return Source(url=url) if "://" in url else Source()


def _repository(installed: Distribution) -> str:
    """The repository that the package's metadata names (`project.urls` of pyproject.toml)."""
    for entry in installed.metadata.get_all("Project-URL") or ():
        label, _, url = entry.partition(",")
        if _REPOSITORY.match(label.strip()) and url.strip():
            return f"git+{url.strip()}"
    return ""


def _is_clone(folder: Path) -> bool:
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return f'name = "{DISTRIBUTION}"' in text


def _pip() -> str:
    """The pip of the Python that runs, which need not be the first on the PATH."""
    found = shutil.which("pip")
    if found and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f"{shlex.quote(sys.executable)} -m pip"


def _quoted(text: str) -> str:
    """In quotes even where no space is: zsh reads [] as a pattern."""
    return shlex.quote(text) if "'" in text else f"'{text}'"
