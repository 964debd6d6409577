"""Grade one submission with Otter: what run_autograder calls inside the container."""

from otter.run.run_autograder import main

if __name__ == "__main__":
    main("/autograder")
