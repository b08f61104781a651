"""Every kind of reference case that is found has a module here that checks it, or is an expected failure by name."""

import pytest


def test_kind_is_checked(found_kind, checked_kinds):
    if found_kind not in checked_kinds:
        pytest.xfail(f"no model of kind {found_kind!r} yet")
