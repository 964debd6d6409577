"""Where things lie: the folders of a course, and of one week in it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from gradekit.problem import UsageProblem

__all__ = ["Course", "Week"]


@dataclass(frozen=True)
class Week:
    """The places of one week. Nothing is promised to exist."""

    course: Course
    slug: str

    @property
    def room(self) -> Path:
        """All that an instructor edits."""
        return self.course.root / "source" / self.slug

    @property
    def source(self) -> Path:
        return self.room / f"{self.slug}.py"

    @property
    def about(self) -> Path:
        return self.room / "about.toml"

    @property
    def mutants(self) -> Path:
        return self.room / "mutants.py"

    @property
    def hand_in(self) -> Path:
        """The solution's own files of those that students hand in beside the notebook."""
        return self.room / "hand_in"

    @property
    def reference(self) -> Path:
        return self.course.root / "reference" / f"{self.slug}.py"

    @property
    def release(self) -> Path:
        return self.course.root / "release" / self.slug

    @property
    def solutions(self) -> Path:
        return self.course.root / "solutions" / self.slug

    @property
    def bundle(self) -> Path:
        return self.course.root / "autograder" / "bundles" / f"{self.slug}.zip"

    @property
    def notebook_name(self) -> str:
        return f"{self.slug}.ipynb"

    @property
    def draft(self) -> bool:
        """Whether its about.toml says that it is being written still: it is built when it is named, and only then."""
        try:
            return tomllib.loads(self.about.read_text(encoding="utf-8"))["week"]["draft"] is True
        except (OSError, ValueError, KeyError, TypeError):
            return False  # what is wrong with it is told when it is read in earnest

    def relative(self, path: Path) -> str:
        """A path as people write it: from the root of the course."""
        return path.relative_to(self.course.root).as_posix() if path.is_relative_to(self.course.root) else str(path)


@dataclass(frozen=True)
class Course:
    """A checkout that holds `source/` and `reference/`."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Course:
        """The course around `start` (default: the current folder); UsageProblem where there is none."""
        here = (start or Path.cwd()).resolve()
        if not here.is_dir():
            raise UsageProblem("there is no such folder", where=here)
        for folder in (here, *here.parents):
            if (folder / "source").is_dir() and (folder / "reference").is_dir():
                return cls(folder)
        raise UsageProblem(
            "no course here: neither this folder nor one above it holds source/ and reference/",
            where=here,
            mend="change into a checkout of the course, or name one with --course DIR",
        )

    def weeks(self, *, drafts: bool = False) -> list[Week]:
        """Every week that has a notebook, in the order of its name; `drafts` too, if they are asked for."""
        rooms = sorted(p for p in (self.root / "source").iterdir() if p.is_dir())
        weeks = [Week(self, room.name) for room in rooms if (room / f"{room.name}.py").is_file()]
        return [week for week in weeks if drafts or not week.draft]

    def week(self, name: str) -> Week:
        """One week by its slug, its number ("5", "week05") or the path of its room; UsageProblem if unknown."""
        known = self.weeks(drafts=True)
        wanted = Path(name).name.removesuffix(".py")
        number = wanted.removeprefix("week").lstrip("0")
        for week in known:
            if wanted == week.slug or number == week.slug.split("_")[0].removeprefix("week").lstrip("0"):
                return week
        names = ", ".join(week.slug for week in known) or "none yet"
        raise UsageProblem(f"no week named {name!r}", where=self.root / "source", mend=f"the weeks are: {names}")

    def select(self, names: list[str]) -> list[Week]:
        """The weeks named, or all of them but drafts where none is named."""
        chosen = [self.week(name) for name in names] if names else self.weeks()
        if not chosen:
            raise UsageProblem(
                "there is no week", where=self.root / "source", mend="a week is a folder with a notebook of its name"
            )
        return chosen
