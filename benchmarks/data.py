"""How fast are the generated data sets drawn, and how hard are they?

    .venv/bin/python benchmarks/data.py               images a second: seconds
    .venv/bin/python benchmarks/data.py --baselines   and what a linear model and a small ResNet reach: minutes

Prints Markdown. Everything runs on one thread of the CPU.
"""

import argparse
import datetime
import platform
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradekit.data import digits, shapes

SCENES, ROUNDS = 10_000, 5
TRAIN, TEST, EPOCHS, BATCH = 20_000, 5_000, 10, 100


def speed() -> None:
    """Median of some rounds, by wall time and by processor time, which a busy machine disturbs less."""
    shapes(1000)  # the atlas of shapes is made once
    print(f"| {SCENES:,} scenes, {ROUNDS} rounds | a second | a second of processor time |\n| --- | --- | --- |")
    for size, task in ((32, "classify"), (32, "vqa"), (64, "classify")):
        wall, processor = [], []
        for seed in range(ROUNDS):
            begin, begin_cpu = time.perf_counter(), time.process_time()
            shapes(SCENES, task, seed=seed, size=size)  # type: ignore[arg-type]
            wall.append(SCENES / (time.perf_counter() - begin))
            processor.append(SCENES / (time.process_time() - begin_cpu))
        found = " | ".join(f"{statistics.median(rates):,.0f}" for rates in (wall, processor))
        print(f"| shapes, {size} x {size}, {task} | {found} |", flush=True)


def right(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in images.split(500)]).eq(labels).float().mean().item()


def linear(images: Tensor, labels: Tensor, weight_decay: float, lr: float, epochs: int) -> nn.Module:
    """Logistic regression on pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = cross_entropy(model(images[batch] - 0.45), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return nn.Sequential(Centred(), model)


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 0.45


def convolution(channels_in: int, channels_out: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    layer = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels_out))


class Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = (
            convolution(channels_in, channels_out, stride),
            convolution(channels_out, channels_out),
        )
        self.around = nn.Identity() if stride == 1 else convolution(channels_in, channels_out, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x).relu()) + self.around(x)).relu()


def resnet(images: Tensor, labels: Tensor) -> nn.Module:
    """A ResNet of 309,000 weights, one cycle, images flipped and moved by up to three pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        convolution(3, 32, 2), nn.ReLU(), Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            x = torch.roll(images[batch], torch.randint(-3, 4, (2,)).tolist(), (2, 3))
            loss = cross_entropy(model(x.flip(3) if torch.rand(()) < 0.5 else x), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def baselines() -> None:
    seen, unseen = shapes(TRAIN), shapes(TEST, split="test")
    print(f"\n| shapes, {TRAIN:,} to train and {TEST:,} to test | right | minutes of processor time |")
    print("| --- | --- | --- |")
    scores = {}
    begin = time.process_time()
    for decay in (1e-3, 1e-2, 1e-1):
        model = linear(seen.images, seen.labels, decay, 1e-3, 15)
        scores[decay] = right(model, unseen.images, unseen.labels)
    taken = (time.process_time() - begin) / 60
    print(
        f"| logistic regression on pixels, best of {len(scores)} decays | {max(scores.values()):.1%} | {taken:.1f} |",
        flush=True,
    )
    begin = time.process_time()
    model = resnet(seen.images, seen.labels)
    taken = (time.process_time() - begin) / 60
    print(
        f"| a small ResNet, {EPOCHS} epochs | {right(model, unseen.images, unseen.labels):.1%} | {taken:.1f} |",
        flush=True,
    )
    numbers = digits()
    model = linear(numbers.x_train, numbers.y_train, 1e-4, 1e-2, 60)
    score = right(model, numbers.x_test, numbers.y_test)
    print(f"\n| digits, {len(numbers.y_train):,} and {len(numbers.y_test):,} | right |\n| --- | --- |")
    print(f"| logistic regression on pixels | {score:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baselines", action="store_true", help="train a linear model and a small ResNet as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = (
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()} · torch {torch.__version__}"
    )
    print(f"{datetime.date.today()} · {machine}. One thread.\n")
    speed()
    if arguments.baselines:
        baselines()


if __name__ == "__main__":
    main()
