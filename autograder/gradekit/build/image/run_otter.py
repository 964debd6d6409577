"""Grade one submission: what run_autograder calls inside the container. A judge writes the results, nobody else."""

import runpy

runpy.run_module("gradekit.grade.container", run_name="__main__")
