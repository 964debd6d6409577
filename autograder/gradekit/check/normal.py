"""Standard normal tensors for inputs functions."""

import numpy as np
import torch


def normal(
    rng: np.random.Generator, *shape: int, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Independent standard normal numbers of this shape; the same for one state of `rng` on every device.

    They are drawn in float32 for dtypes of at most 32 bits, else in float64, and then rounded to `dtype`.
    Raises TypeError for a dtype that is not floating-point.
    """
    if not dtype.is_floating_point:
        raise TypeError(f"expected a floating-point dtype, got {dtype}")
    drawn: np.ndarray[tuple[int, ...], np.dtype[np.float32] | np.dtype[np.float64]]
    if dtype == torch.float64:
        drawn = np.asarray(rng.standard_normal(shape, dtype=np.float64))
    else:
        drawn = np.asarray(rng.standard_normal(shape, dtype=np.float32))
    return torch.from_numpy(drawn).to(device=device, dtype=dtype)
