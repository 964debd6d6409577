"""about.toml: what the plan says of a week."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gradekit.problem import Problem

__all__ = ["About", "read_about"]

Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeekFacts(_Strict):
    """The table [week]."""

    number: Annotated[str, BeforeValidator(str)]  # "14b" is a week too
    slug: Text
    title: Text
    phase: int = Field(ge=1, le=5)
    hours: tuple[int, int]
    summary: Text


class Resource(_Strict):
    """One table [[resources]]: something to read or watch; title and link exactly as in the plan."""

    title: Text
    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    level: Literal["core", "optional", "advanced"]
    kind: Text


class Deliverable(_Strict):
    """One table [[deliverables]]."""

    text: Text


class About(_Strict):
    """A week's facts."""

    week: WeekFacts
    objectives: list[Text] = Field(min_length=1)
    resources: list[Resource] = []
    deliverables: list[Deliverable] = []
    milestones: list[Text] = []


def read_about(path: Path, label: str, slug: str) -> About:
    """Read and check one about.toml; Problem names the key that is wrong."""
    try:
        about = About.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise Problem("is missing", where=label, mend="every week says what it is: copy another week's") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(f"is not TOML: {error}", where=label) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Problem(f"{key}: {first['msg']}", where=label) from error
    if about.week.slug != slug:
        raise Problem(f"week.slug is {about.week.slug!r}, its folder is {slug!r}", where=label)
    return about
