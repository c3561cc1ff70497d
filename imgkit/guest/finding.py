"""A finding of `imgkit doctor`: one part that something needs, whether it works here, and what helps if it does not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: what it is for, whether it works, what was seen, and what to do if it does not."""

    part: str
    serves: str
    ok: bool
    message: str
    remedy: str = ""


def look_for_module(module: str, serves: str, remedy: str) -> Finding:
    """Whether a Python module is installed; it is not imported."""
    found = importlib.util.find_spec(module) is not None
    return Finding(module, serves, found, "found" if found else "missing", "" if found else remedy)


def find_tool(tool: str) -> str | None:
    """Path of a program, None where there is none. Debian keeps many in folders that a user's PATH lacks."""
    return shutil.which(tool, path=os.pathsep.join((os.environ.get("PATH", os.defpath), _SYSTEM_FOLDERS)))


def look_for_tool(tool: str, serves: str, remedy: str) -> Finding:
    """Whether a program is there; it is not run."""
    path = find_tool(tool)
    return Finding(tool, serves, path is not None, path or "missing", "" if path else remedy)


def system_module_remedy(module: str, package: str) -> str:
    """How to get a binding that is a part of the system, which a virtual environment does not see by itself."""
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}-"
    compiled = [path for path in SYSTEM_PACKAGES.glob(f"*{module}mod*.so") if tag in path.name]
    if compiled and sys.prefix != sys.base_prefix:
        site = next((path for path in sys.path if path.endswith("site-packages")), sys.prefix)
        return f"ln -s {SYSTEM_PACKAGES}/{module}*.py {SYSTEM_PACKAGES}/*{module}mod*{tag}*.so {site}/"
    return f"apt install {package}, and run imgkit with the system's Python version"
