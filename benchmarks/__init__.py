"""Benchmarks: one question a module, each `python -m benchmarks.<question>`."""
