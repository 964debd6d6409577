"""What a platform gave -> one folder a student, which `gradekit grade` takes as it is.

`listing` says what lies in a folder or a zip; `recognise` which platform it is from; `canvas`, `moodle`,
`gradescope`, `nbgrader` and `folder` say who handed in what; `choose` which of it counts, and `weights` what goes with
it; `names` what each student's folder is called; `layout` writes them, `record` the csv, and `update` compares with
what is there. `into` does all.
"""
