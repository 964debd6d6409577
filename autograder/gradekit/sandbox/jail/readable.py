"""What every jailed process may read: Python, its packages, the system's libraries, and facts about the machine."""

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin"),
    *(
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/etc/localtime",
        "/etc/timezone",
        "/etc/fonts",
        "/etc/mime.types",
    ),
    *("/var/cache/fontconfig", "/sys/devices/system/cpu", "/sys/devices/system/node"),
)
ACCELERATOR = ("/sys", "/etc/OpenCL", "/etc/vulkan", "/etc/nvidia")
# Below /proc, where the jail sees the machine's own.
FACTS = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems", "sys", "self", "driver/nvidia")
PACKAGE = Path(__file__).parents[2]


@functools.cache
def folders(accelerator: bool) -> tuple[Path, ...]:
    """Existing paths, files among them; found once, by the process that forks.

    Not the whole of sys.path: an editable install would put a repository there, tests and all.
    """
    return tuple(
        path
        for path in map(Path, dict.fromkeys(_candidates(accelerator)))
        if path != Path("/") and os.path.lexists(path)
    )


def _candidates(accelerator: bool) -> Iterator[str]:
    yield from (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    named = {*site.getsitepackages(), site.getusersitepackages()}
    yield from (entry for entry in sys.path if entry in named or Path(entry).name in ("site-packages", "dist-packages"))
    yield str(PACKAGE)
    yield from SYSTEM
    if accelerator:
        yield from ACCELERATOR


def unreachable(paths: list[Path], uid: int) -> Path | None:
    """The first folder on the way to one of the paths that another user may not pass, None if there is none."""
    for path in paths:
        for folder in reversed(path.parents):
            try:
                facts = folder.stat()
            except OSError:
                return folder
            if facts.st_uid != uid and not facts.st_mode & 0o001:
                return folder
    return None
