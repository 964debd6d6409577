"""What people read of a class: a report for the instructor, feedback for each student, tables for a platform."""
