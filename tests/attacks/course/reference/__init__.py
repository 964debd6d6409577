"""Reference implementations of the tests' own course."""
