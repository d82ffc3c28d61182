"""The optional build: with SOJOURN_COMPILE=1 the modules that every message passes are compiled with mypyc.

The pure Python is the truth: both builds run the same tests, and what is not compiled here is never faster
for it. Everything else about the package stands in pyproject.toml.
"""

import os

from setuptools import setup

COMPILED = (
    "sojourn/actors/audience.py",
    "sojourn/actors/changes.py",
    "sojourn/actors/closing.py",
    "sojourn/actors/commits.py",
    "sojourn/actors/delivery.py",
    "sojourn/actors/events.py",
    "sojourn/actors/lifecycle.py",
    "sojourn/actors/mailbox.py",
    "sojourn/actors/newest.py",
    "sojourn/actors/packing.py",
    "sojourn/actors/patching.py",
    "sojourn/actors/posting.py",
    "sojourn/actors/reception.py",
    "sojourn/actors/requests.py",
    "sojourn/actors/scoping.py",
    "sojourn/actors/sending.py",
    "sojourn/actors/session.py",
    "sojourn/actors/snapshots.py",
    "sojourn/actors/state.py",
    "sojourn/actors/timers.py",
    "sojourn/actors/upkeep.py",
    "sojourn/actors/waking.py",
    "sojourn/gateway/acknowledgements.py",
    "sojourn/gateway/checking.py",
    "sojourn/gateway/flushing.py",
    "sojourn/gateway/framing.py",
    "sojourn/gateway/message_requests.py",
    "sojourn/gateway/messages.py",
    "sojourn/gateway/peer.py",
    "sojourn/gateway/plain_frames.py",
    "sojourn/gateway/replies.py",
    "sojourn/gateway/router.py",
    "sojourn/gateway/routing.py",
    "sojourn/gateway/session_requests.py",
    "sojourn/gateway/tcp.py",
    "sojourn/gateway/websocket.py",
    "sojourn/gateway/websocket_frames.py",
)
"""Between the bytes of a read and the rows of a commit, and back."""

if os.environ.get("SOJOURN_COMPILE") == "1":
    from mypyc.build import mypycify

    modules = mypycify(
        ["--explicit-package-bases", *COMPILED],
        opt_level="3",
        debug_level="0",
        group_name="sojourn.compiled",  # the library that all of them share lies in the package, too
    )
    setup(ext_modules=modules)
else:
    setup()
