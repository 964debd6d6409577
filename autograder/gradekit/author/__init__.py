"""What helps those who write a course."""
