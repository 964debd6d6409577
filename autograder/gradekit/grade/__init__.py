"""One submission -> a result; a class of them -> a folder of results.

`submission` says what is to be graded, `bundle` by what; `engine` grades one (its inside, `task` and `worker`, runs in
a process of its own); `batch` grades many; `result` is what comes out and `store` writes it down.
"""
