"""What tinygrad_dnn asks of everything of a kind, as its conformance kit checks it."""

import tinygrad_dnn as td

KINDS = ("activations", "initializers", "optimizers", "schedulers", "layers", "callbacks")


def conformance(kind):
    """Return a test of all names of a kind."""
    names = [name for name in getattr(td.registry, kind).names() if name.startswith("torch.")]

    @td.testing.parametrize_with_checks(names, kind=kind)
    def test(subject, check):
        outcome, message = check(subject)
        assert outcome != "failed", message

    return test


test_activations, test_initializers, test_optimizers, test_schedulers, test_layers, test_callbacks = map(
    conformance, KINDS
)
