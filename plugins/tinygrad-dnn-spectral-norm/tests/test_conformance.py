"""What tinygrad_dnn asks of every regularizer, as its conformance kit checks it."""

import tinygrad_dnn as td


@td.testing.parametrize_with_checks(["spectral_norm"])
def test_conformance(subject, check):
    outcome, message = check(subject)
    assert outcome != "failed", message
