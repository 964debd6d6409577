"""Which device this machine grades on, what it can do, and what a target that was stated for another one means here.

`GRADEKIT_DEVICE=cpu` forces the fallback, whatever the machine has.
"""

from gradekit.device.frequency import clock_mhz
from gradekit.device.measured import Rates, cache_folder, rates
from gradekit.device.present import Device, Kind, current
from gradekit.device.target import NAMED, Scaled, scale

__all__ = ["NAMED", "Device", "Kind", "Rates", "Scaled", "cache_folder", "clock_mhz", "current", "rates", "scale"]
