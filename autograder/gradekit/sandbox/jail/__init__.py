"""A process in which hostile code can do nothing but compute.

`spawn` forks the calling process and shuts the child in with what the kernel offers: namespaces and a root folder of
its own, Landlock, seccomp, resource limits, control groups, another user. Each of these is a *layer*; one that cannot
be had here is recorded with the reason in `Isolation.layers`, the others still hold, and `Isolation.level` says what
they come to. `kill` ends a jail and all that lives in it; `clear`, without waiting, what is left of one that
has ended.

What is allowed inside: computing with threads and forks up to the limits, writing the scratch folder, reading Python
and its packages. What is not kept from hostile code: it can read the memory that it was forked with (so nothing secret
may be loaded before `spawn`), use its whole share of time, memory and disk, and see how busy the machine is.
"""

from gradekit.sandbox.jail.keeper import clear, kill, spawn
from gradekit.sandbox.jail.policy import LEVELS, Isolation, Level, Policy

__all__ = ["LEVELS", "Isolation", "Level", "Policy", "clear", "kill", "spawn"]
