"""Handwritten digits, 8 x 8 pixels: the data set that scikit-learn carries with it."""

import dataclasses

import numpy as np
import torch

TEST_IMAGES = 360


@dataclasses.dataclass(frozen=True)
class Digits:
    """x_train (1437, 1, 8, 8) and x_test (360, 1, 8, 8): float32 from 0 to 1; y_train, y_test: int64 from 0 to 9."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def digits(split_seed: int = 0) -> Digits:
    """1,797 grey images of handwritten digits, split into 1,437 to train and 360 to test; one seed, one split.

    Every class has its share of the test images to within one image (a stratified split).

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository
    (1998), doi:10.24432/C50P49, its test part, as bundled with scikit-learn (`load_digits`, no download; about 57 kB).
    Licence: CC BY 4.0 (the data, as UCI states), BSD-3-Clause (scikit-learn, which carries it).
    The writers are not marked, so one writer's digits may stand on both sides of the split.

    Raises ImportError, saying what to install, without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    shuffled = np.random.RandomState(split_seed).permutation(len(labels))  # frozen: the same in every NumPy
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    test = np.sort(by_class[:: len(labels) // TEST_IMAGES + 1])
    train = np.setdiff1d(np.arange(len(labels)), test)
    x = torch.from_numpy(images).to(torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.from_numpy(labels).to(torch.int64)
    return Digits(x[train], y[train], x[test], y[test])
