"""Run from the checkout: `python -m benchmarks`, `python benchmarks/bytes.py`."""
