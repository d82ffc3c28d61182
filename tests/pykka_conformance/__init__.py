"""Pykka's own test suite, run on `LoopActor` beside `ThreadingActor`: `python -m tests.pykka_conformance`.

The suite is taken from the sdist of the installed Pykka, which pip downloads into `.cache/` the first time.
"""
