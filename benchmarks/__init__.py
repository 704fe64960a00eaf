"""Speed as ratios: each measured in one process, interleaved, medians. ``python -m benchmarks [NAME ...]``."""
