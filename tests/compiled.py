"""What tests must know of the compiled build (`make compiled`), which passes the same ones."""

from types import GetSetDescriptorType, MemberDescriptorType

import pytest

from sojourn.actors import state

COMPILED = not (state.__file__ or "").endswith(".py")

replaces_a_name = pytest.mark.skipif(
    COMPILED, reason="compiled code has bound its names: one of them can't be replaced from outside"
)
"""For a test that reaches a rare case by putting another function in a pure module."""


def fields_of(kind: type) -> list[str]:
    """The public fields of a slotted class, compiled or not."""
    descriptors = (GetSetDescriptorType, MemberDescriptorType)
    return [
        name
        for name, each in vars(kind).items()
        if isinstance(each, descriptors) and not name.startswith("_")
    ]
