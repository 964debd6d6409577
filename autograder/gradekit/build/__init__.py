"""source -> release, solutions, bundle.

Import what you need from the modules: `gradekit.build.make` builds, `gradekit.build.stamp` says whether it must.
This package imports nothing by itself, so that a command that finds nothing to do starts fast.
"""
