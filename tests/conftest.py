"""Settings for all tests: few threads, since test machines have few cores, and no accelerator by accident."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")
