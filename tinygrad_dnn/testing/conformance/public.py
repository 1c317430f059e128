"""One function for each kind: it checks an object and raises AssertionError with a sentence for each failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_dnn.testing.conformance.running import expect

_Mapping = Mapping[str, Any] | None


def _samples(arguments: _Mapping, inputs: Any, claims: _Mapping) -> dict[str, Any]:
    given = {"arguments": arguments, "inputs": inputs, "claims": claims}
    return {key: value for key, value in given.items() if value is not None}


def check_activation(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that an activation does all that the package asks of one.

    Args:
        thing: A function of a Tensor, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: An array of points, away from kinks, at which derivatives are checked.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no activation.

    Example:
        >>> td.testing.check_activation(lambda x: x + td.tanh(x))
    """
    expect("activations", thing, **_samples(arguments, inputs, claims))


def check_initializer(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that an initializer does all that the package asks of one.

    Args:
        thing: A function or class of ``(shape, dtype=None)``, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: The shapes of weights that it makes.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no initializer.

    Example:
        >>> td.testing.check_initializer("he_normal", claims={"variance": lambda fan_in, fan_out: 2 / fan_in})
    """
    expect("initializers", thing, **_samples(arguments, inputs, claims))


def check_optimizer(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that an optimizer does all that the package asks of one.

    Args:
        thing: A subclass of ``td.optimizers.Optimizer``, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: Not used.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no optimizer.

    Example:
        >>> td.testing.check_optimizer(td.optimizers.SGD, arguments={"momentum": 0.9})
    """
    expect("optimizers", thing, **_samples(arguments, inputs, claims))


def check_scheduler(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a scheduler does all that the package asks of one.

    Args:
        thing: A function or class of the step, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: Not used.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no scheduler.

    Example:
        >>> td.testing.check_scheduler("linear_warmup", arguments={"warmup_target": 0.1, "warmup_steps": 5})
    """
    expect("schedulers", thing, **_samples(arguments, inputs, claims))


def check_regularizer(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a regularizer does all that the package asks of one.

    Args:
        thing: A function or class of a weight, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: The shapes of weights that it takes.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no regularizer.

    Example:
        >>> td.testing.check_regularizer(lambda w: (w**4).mean())
    """
    expect("regularizers", thing, **_samples(arguments, inputs, claims))


def check_constraint(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a constraint does all that the package asks of one.

    Args:
        thing: A function or class of a weight, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: The shapes of weights that it takes.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no constraint.

    Example:
        >>> td.testing.check_constraint(lambda w: td.clip(w, -1.0, 1.0))
    """
    expect("constraints", thing, **_samples(arguments, inputs, claims))


def check_loss(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a loss does all that the package asks of one.

    Args:
        thing: A function or class of ``(y_true, y_pred)``, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: Targets and predictions, ``(y_true, y_pred)``, of 3 samples or more.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no loss.

    Example:
        >>> td.testing.check_loss(lambda y_true, y_pred: ((y_true - y_pred) ** 4).mean(axis=-1))
    """
    expect("losses", thing, **_samples(arguments, inputs, claims))


def check_metric(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a metric does all that the package asks of one.

    Args:
        thing: A subclass of ``td.metrics.Metric``, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: What ``update_state`` takes of 8 samples or more, ``(y_true, y_pred)``.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no metric.

    Example:
        >>> td.testing.check_metric(td.metrics.CategoricalAccuracy)
    """
    expect("metrics", thing, **_samples(arguments, inputs, claims))


def check_layer(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a layer does all that the package asks of one.

    Args:
        thing: A subclass of ``td.layers.Layer``, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: The shape of a batch, or a list of shapes for several inputs.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no layer.

    Example:
        >>> td.testing.check_layer(td.layers.Dense, arguments={"units": 3}, inputs=(2, 5))
    """
    expect("layers", thing, **_samples(arguments, inputs, claims))


def check_callback(thing: Any, arguments: _Mapping = None, inputs: Any = None, claims: _Mapping = None) -> None:
    """Check that a callback does all that the package asks of one.

    Args:
        thing: A subclass of ``td.callbacks.Callback``, an object of such a class, or a registered name.
        arguments: The keyword arguments that it is made with or called with.
        inputs: Not used.
        claims: What holds of it, by name.

    Raises:
        AssertionError: A check fails: a sentence for each says what came, what was expected, and what to do. Or none
            could be made, since arguments are missing.
        TypeError: It is no callback.

    Example:
        >>> td.testing.check_callback(td.callbacks.TerminateOnNaN)
    """
    expect("callbacks", thing, **_samples(arguments, inputs, claims))
