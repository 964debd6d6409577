"""Data sets that need no download, and by consent the full ones. `docs/data.md` says what each is."""

from gradekit.data.cifar10 import Photos, cifar10
from gradekit.data.digits import Digits, digits
from gradekit.data.prose import Prose, Question, prose
from gradekit.data.shapes import Shapes, shapes

__all__ = ["Digits", "Photos", "Prose", "Question", "Shapes", "cifar10", "digits", "prose", "shapes"]
