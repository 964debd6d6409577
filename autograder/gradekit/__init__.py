"""gradekit: an autograded course kit. Instructor notebooks in, releases, solutions and grades out."""

__version__ = "0.1.0"
