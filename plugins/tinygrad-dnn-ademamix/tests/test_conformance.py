"""What tinygrad_dnn asks of every optimizer, as its conformance kit checks it."""

import tinygrad_dnn as td


@td.testing.parametrize_with_checks(["ademamix"])
def test_conformance(subject, check):
    outcome, message = check(subject)
    assert outcome != "failed", message
