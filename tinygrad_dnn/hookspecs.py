"""The hooks a plugin may implement: one for each kind of thing that the registry finds by name.

A plugin is a module (or an object, or a class) whose hooks are marked with ``hookimpl``. Its package names it in the
entry-point group ``tinygrad_dnn``; from then on what it registers is found by name wherever a name is taken:

```toml
[project.entry-points.tinygrad_dnn]
bent_identity = "tinygrad_dnn_bent_identity"
```

A hook is given ``register`` and calls it once for each object; it returns nothing. ``register(obj)`` takes the name
from the object: a function's own name, a class's name in lower case (with its snake_case form as an alias).
``register(obj, name=..., aliases=(...))`` says otherwise. It raises, at the line that called it, where the object is
not what its kind must be or the name is a built-in's or was used before in the same plugin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import pluggy

__all__ = ["Register", "hookimpl", "hookspec"]

PROJECT = "tinygrad_dnn"
T = TypeVar("T")

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """The function that a hook is given: it registers one object and returns it.

    Example:
        >>> def register_activations(register: td.hookspecs.Register) -> None:
        ...     register(len, name="length", aliases=("size",))
    """

    def __call__(self, obj: T, name: str | None = None, aliases: Iterable[str] = ()) -> T: ...


@hookspec
def register_activations(register: Register) -> None:
    """Register activations: functions of a Tensor, in Tensor operations, that return a Tensor of the same shape.

    What carries weights or must know about training (prelu, rrelu) is a layer.

    Example:
        >>> def cube(x):
        ...     return x * x * x
        >>> @td.hookimpl
        ... def register_activations(register):
        ...     register(cube, aliases=("cubic",))
    """


@hookspec
def register_initializers(register: Register) -> None:
    """Register initializers: functions, or classes of callables, ``(shape, dtype=None) -> array``.

    They draw on the host, from a seeded generator. One that needs its layer takes it as the keyword ``layer``.

    Example:
        >>> def sevens(shape, dtype=None):
        ...     return np.full(shape, 7, dtype)
        >>> @td.hookimpl
        ... def register_initializers(register):
        ...     register(sevens)
    """


@hookspec
def register_optimizers(register: Register) -> None:
    """Register optimizers: subclasses of ``td.optimizers.Optimizer`` with the methods ``init`` and ``update``.

    ``init(param)`` returns a dict of state, ``update(param, grad, state, learning_rate)`` returns ``(new_param,
    new_state)``: in Tensor operations, always on one weight in its own shape.

    Example:
        >>> class SignSGD:  # in earnest a subclass of td.optimizers.Optimizer
        ...     def init(self, param):
        ...         return {}
        ...     def update(self, param, grad, state, learning_rate):
        ...         return param - learning_rate * td.sign(grad), state
        >>> @td.hookimpl
        ... def register_optimizers(register):
        ...     register(SignSGD)
    """


@hookspec
def register_schedulers(register: Register) -> None:
    """Register schedulers: functions, or classes of callables, of the step that return a learning rate.

    The step is a number or a Tensor.

    Example:
        >>> class InverseRoot:
        ...     def __init__(self, scale=1.0):
        ...         self.scale = scale
        ...     def __call__(self, step):
        ...         return self.scale / (step + 1) ** 0.5
        ...     def get_config(self):
        ...         return {"scale": self.scale}
        ...     @classmethod
        ...     def from_config(cls, config):
        ...         return cls(**config)
        >>> @td.hookimpl
        ... def register_schedulers(register):
        ...     register(InverseRoot)
    """


@hookspec
def register_regularizers(register: Register) -> None:
    """Register regularizers: functions, or classes of callables, of a weight that return a scalar Tensor.

    Example:
        >>> def fourth_power(weight):
        ...     return (weight**4).sum()
        >>> @td.hookimpl
        ... def register_regularizers(register):
        ...     register(fourth_power)
    """


@hookspec
def register_constraints(register: Register) -> None:
    """Register constraints: functions, or classes of callables, of a weight that return the weight to keep instead.

    Example:
        >>> def at_most_one(weight):
        ...     return td.where(weight > 1, 1.0, weight)
        >>> @td.hookimpl
        ... def register_constraints(register):
        ...     register(at_most_one)
    """


@hookspec
def register_losses(register: Register) -> None:
    """Register losses: functions, or classes of callables, ``(y_true, y_pred)`` that give one value a sample.

    Example:
        >>> def mean_fourth_power(y_true, y_pred):
        ...     return ((y_true - y_pred) ** 4).mean(axis=-1)
        >>> @td.hookimpl
        ... def register_losses(register):
        ...     register(mean_fourth_power, aliases=("mfp",))
    """


@hookspec
def register_metrics(register: Register) -> None:
    """Register metrics: classes with the methods ``update_state``, ``result`` and ``reset_state``.

    Example:
        >>> class Batches:
        ...     def __init__(self):
        ...         self.reset_state()
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         self.count += 1
        ...     def result(self):
        ...         return self.count
        ...     def reset_state(self):
        ...         self.count = 0
        >>> @td.hookimpl
        ... def register_metrics(register):
        ...     register(Batches)
    """


@hookspec
def register_layers(register: Register) -> None:
    """Register layers: subclasses of ``td.layers.Layer`` with the methods ``build`` and ``call(inputs, training)``.

    Example:
        >>> class Half:  # in earnest a subclass of td.layers.Layer
        ...     def build(self, input_shape):
        ...         self.built = True
        ...     def call(self, inputs, training=False):
        ...         return inputs * 0.5
        >>> @td.hookimpl
        ... def register_layers(register):
        ...     register(Half)
    """


@hookspec
def register_callbacks(register: Register) -> None:
    """Register callbacks: subclasses of ``td.callbacks.Callback``.

    Example:
        >>> class Dots:  # in earnest a subclass of td.callbacks.Callback
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(".", end="")
        >>> @td.hookimpl
        ... def register_callbacks(register):
        ...     register(Dots)
    """
