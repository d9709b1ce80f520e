"""The test suite's own rules: how many examples a property is tried with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TRIED = {"examples": 0}


@settings(max_examples=400, database=None)
@given(st.integers())
def test_a_property_is_tried_with_a_quarter_of_its_examples(any_number):
    TRIED["examples"] += 1


def test_and_the_rest_is_for_the_profile_that_tries_all(request):
    if not TRIED["examples"]:
        pytest.skip("its property was not run")
    assert TRIED["examples"] == (400 if request.config.getoption("--hypothesis-profile") == "full" else 100)
