"""Reference implementations, one module a week: what submissions are compared with. For instructors only."""
