"""Reference implementations of the benchmark's own course."""
