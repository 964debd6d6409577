"""The generated scenes: the same for one seed, and everything that is said of a scene is true of its pixels."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from gradekit import data
from gradekit.data.shapes import ANSWERS, COLOURS, SHAPES, TEXTURES


@pytest.fixture(scope="module")
def scenes():
    return data.shapes(1500, "caption", seed=5)


def test_sizes_types_and_ranges(scenes):
    n = len(scenes)
    shapes = {
        "images": ((n, 3, 32, 32), torch.float32),
        "labels": ((n,), torch.int64),
        "present": ((n, 3), torch.bool),
        "classes": ((n, 3), torch.int64),
        "colours": ((n, 3), torch.int64),
        "textures": ((n, 3), torch.int64),
        "boxes": ((n, 3, 4), torch.float32),
        "instances": ((n, 32, 32), torch.uint8),
        "masks": ((n, 32, 32), torch.uint8),
    }
    for name, (shape, dtype) in shapes.items():
        value = getattr(scenes, name)
        assert (tuple(value.shape), value.dtype) == (shape, dtype), name
    assert 0 <= float(scenes.images.min()) < float(scenes.images.max()) <= 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenes.labels = scenes.classes


def test_one_seed_one_set_of_scenes_for_every_task_and_every_n(scenes):
    few = data.shapes(40, "detect", seed=5)
    assert torch.equal(few.images, scenes.images[:40])
    assert torch.equal(few.boxes, scenes.boxes[:40])
    assert few.captions == ()
    tail = data.shapes(1040, seed=5)
    assert torch.equal(tail.images[1000:], scenes.images[1000:1040])
    assert data.shapes(40, "caption", seed=5).captions == scenes.captions[:40]


def test_other_seeds_and_splits_are_other_scenes():
    sets = [data.shapes(200, seed=seed, split=split).images for seed in (0, 1) for split in ("train", "test")]
    sets.append(data.shapes(200, split="validation").images)
    flat = torch.cat(sets).flatten(1)
    distance = torch.cdist(flat, flat) + 1e3 * torch.eye(len(flat))
    assert float(distance.min()) > 1


def test_nothing_else_is_drawn_from_torchs_generator_and_the_threads_stay():
    torch.manual_seed(0)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(0)
    data.shapes(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_every_thousand_scenes_hold_a_hundred_of_each_class():
    labels = data.shapes(2000, seed=9).labels
    for thousand in labels.split(1000):
        assert torch.bincount(thousand, minlength=10).tolist() == [100] * 10


def test_the_label_is_the_class_of_the_large_object(scenes):
    assert torch.equal(scenes.labels, scenes.classes[:, 0])
    assert bool(scenes.present[:, 0].all())
    extent = scenes.boxes[..., 2:] - scenes.boxes[..., :2]
    small = scenes.present[:, 1:]
    assert float(extent[:, 1:][small].max()) <= 0.36 * 32 + 1
    assert 0.2 < float(small.float().mean()) < 0.55


def test_where_there_is_no_object_nothing_is_said(scenes):
    gone = ~scenes.present
    for name in ("classes", "colours", "textures"):
        value = getattr(scenes, name)
        assert bool((value[gone] == -1).all()), name
        assert int(value[~gone].min()) == 0, name
    assert bool((scenes.boxes[gone] == 0).all())
    for row in range(3):
        seen = (scenes.instances == row + 1).flatten(1).any(1)
        assert torch.equal(seen & ~scenes.present[:, row], torch.zeros_like(seen))


def test_boxes_are_the_edges_of_the_instances(scenes):
    for i in range(300):
        for row in range(3):
            rows, columns = (scenes.instances[i] == row + 1).nonzero(as_tuple=True)
            if not scenes.present[i, row] or not len(rows):
                continue
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert scenes.boxes[i, row].tolist() == [float(e) for e in edges]


def test_masks_are_the_classes_of_the_instances(scenes):
    for row in range(3):
        at = (scenes.instances == row + 1).nonzero(as_tuple=True)
        assert torch.equal(scenes.masks[at].long(), scenes.classes[at[0], row] + 1)
    assert torch.equal(scenes.masks == 0, scenes.instances == 0)


def test_the_large_object_has_its_colour():
    """Of plain objects, the pixels inside are nearest to their own colour in most scenes, light and noise included."""
    scenes = data.shapes(1000, seed=2)
    palette = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1), "black": (0, 0, 0)}
    right, asked = 0, 0
    for i in range(len(scenes)):
        name = COLOURS[scenes.colours[i, 0]]
        if name not in palette or TEXTURES[scenes.textures[i, 0]] != "plain":
            continue
        mean = scenes.images[i][:, scenes.instances[i] == 1].mean(1)
        nearest = min(palette, key=lambda c: float((mean - torch.tensor(palette[c])).norm()))
        right, asked = right + (nearest == name), asked + 1
    assert asked > 100
    assert right / asked > 0.9


def test_captions_are_true_of_their_scenes(scenes):
    pattern = re.compile(r"a large (\w+) (\w+) (\w+)(?: with (.*))?")
    for i, caption in enumerate(scenes.captions):
        colour, texture, shape, rest = pattern.fullmatch(caption).groups()
        assert (COLOURS.index(colour), TEXTURES.index(texture), SHAPES.index(shape)) == (
            int(scenes.colours[i, 0]),
            int(scenes.textures[i, 0]),
            int(scenes.classes[i, 0]),
        )
        said = [] if rest is None else [part.split() for part in rest.split(" and ")]
        small = [row for row in (1, 2) if scenes.present[i, row]]
        assert [(w[2], w[3]) for w in said] == [
            (COLOURS[scenes.colours[i, row]], SHAPES[scenes.classes[i, row]]) for row in small
        ]


def middle(box):
    return (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)


def test_places_in_captions_are_those_of_the_boxes(scenes):
    """Where nothing hides an object, its box has its centre: left, right, above and below can be read from boxes."""
    checked = 0
    for i, caption in enumerate(scenes.captions):
        if scenes.present[i].tolist() != [True, False, True]:
            continue
        (x, y), (x0, y0) = middle(scenes.boxes[i, 2]), middle(scenes.boxes[i, 0])
        dx, dy = x - x0, y - y0
        if abs(abs(dx) - abs(dy)) < 6 or max(abs(dx), abs(dy)) < 6:  # too near to call from boxes alone
            continue
        place = ("right of" if dx > 0 else "left of") if abs(dx) > abs(dy) else ("below" if dy > 0 else "above")
        assert f" {place} it" in caption
        checked += 1
    assert checked > 100


def test_answers_are_true_of_their_scenes():
    scenes = data.shapes(1000, "vqa", seed=6)
    kinds = set()
    for i, (question, answer) in enumerate(zip(scenes.questions, scenes.answers, strict=True)):
        assert answer in ANSWERS
        rows = [row for row in range(3) if scenes.present[i, row]]
        found = [SHAPES[scenes.classes[i, row]] for row in rows]
        if question == "which shape is the large object?":
            assert answer == found[0]
        elif question == "which colour has the large object?":
            assert answer == COLOURS[scenes.colours[i, 0]]
        elif question == "which texture has the large object?":
            assert answer == TEXTURES[scenes.textures[i, 0]]
        elif question == "how many objects are there?":
            assert answer == str(len(rows))
        elif match := re.fullmatch(r"is there an? (\w+)\?", question):
            assert answer == ("yes" if match[1] in found else "no")
        elif match := re.fullmatch(r"which (shape is|colour has) the small object .* the large one\?", question):
            options = found[1:] if match[1] == "shape is" else [COLOURS[scenes.colours[i, row]] for row in rows[1:]]
            assert answer in options
        else:
            match = re.fullmatch(r"is a small (\w+) (left of|right of|above|below) the large object\?", question)
            assert match[1] in found[1:]
            assert answer in ("yes", "no")
        kinds.add(re.sub(r" (an? \w+|small \w+|left of|right of|above|below)\b", "", question))
    assert len(kinds) >= 7


@pytest.mark.parametrize("size", [16, 48, 128])
def test_other_sizes_show_the_same_scenes(size, scenes):
    other = data.shapes(50, seed=5, size=size)
    assert other.images.shape == (50, 3, size, size)
    assert torch.equal(other.labels, scenes.labels[:50])
    assert bool((other.boxes <= size).all())
    off = (other.boxes[:, 0] / size - scenes.boxes[:50, 0] / 32).abs()
    assert float(off.median()) < 0.05


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"task": "draw"}, "expected one of classify, detect"),
        ({"split": "dev"}, "expected one of train, validation, test"),
        ({"size": 8}, "16 to 128"),
        ({"n": 0}, "at least one scene"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_what_there_is_not_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        data.shapes(**({"n": 1} | arguments))
