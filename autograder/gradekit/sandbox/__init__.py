"""Where a student's code runs: a fork server that is warm, workers in a jail, and the frames between judge and worker.

What comes out of a worker is plain data and is believed by nobody: `wire` checks it, the judge compares it.
"""
