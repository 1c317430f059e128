"""What tinygrad_dnn asks of every initializer and callback, as its conformance kit checks it."""

import pytest

import tinygrad_dnn as td


@td.testing.parametrize_with_checks(["lsuv"], kind="initializers")
def test_initializer(subject, check):
    outcome, message = check(subject)
    assert outcome != "failed", message


# The kit's models have no layer with this initializer, which is worth a warning.
@pytest.mark.filterwarnings("ignore:LSUV. no layer of the model has the initializer")
@td.testing.parametrize_with_checks(["lsuv"], kind="callbacks")
def test_callback(subject, check):
    outcome, message = check(subject)
    assert outcome != "failed", message
