"""What listens to training: the callbacks' base class, several of them as one, and what they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.data import at_hand
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.tensor import Tensor


class Logs(MutableMapping[str, Any]):
    """The values of a batch, as numbers or NumPy arrays; reading one that lies on a device fetches all its numbers.

    Args:
        values: Tensors or numbers, by name.

    Example:
        >>> logs = td.callbacks.Logs({"loss": td.tensor(0.5)})
        >>> logs["loss"], dict(logs)
        (0.5, {'loss': 0.5})
    """

    def __init__(self, values: Any = ()) -> None:
        self._values: dict[str, Any] = dict(values)

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if isinstance(value, Tensor):
            if not at_hand(value) and value.size == 1:
                self._fetch(value)
            else:
                self._values[key] = value.item() if value.size == 1 else value.numpy()
        return self._values[key]

    def _fetch(self, like: Tensor) -> None:
        """Bring all numbers of a Tensor's type and place to the host by one copy: each would wait for the device."""
        together = {
            key: x
            for key, x in self._values.items()
            if isinstance(x, Tensor) and x.size == 1 and x.backend is like.backend and x.dtype == like.dtype
        }
        with no_grad():
            numbers = ops.stack([ops.reshape(x, ()) for x in together.values()]).tolist()
        self._values.update(zip(together, numbers, strict=True))

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values  # without fetching the value, as the inherited method would

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def at_hand(self) -> bool:
        """Whether all values can be read without waiting for a device."""
        return all(map(at_hand, self._values.values()))


class Callback:
    """Base of all callbacks: override the methods of the moments to listen to.

    Each moment's ``logs`` has the values known by then: an epoch's are numbers in a dict, to which a callback may add;
    a batch's are ``Logs``. To read one of these is to wait for a GPU, which then has nothing to do for a moment: at
    some of the steps, where there are many. ``self.model`` is the model, ``self.params`` what ``fit`` was asked for
    (epochs, steps, verbose). Set ``self.model.stop_training = True`` to stop after the step in progress, or after the
    epoch.

    What it knows of the training so far it returns from ``get_state``, so that an interrupted training can go on.

    Example:
        >>> class Count(td.callbacks.Callback):
        ...     batches = 0
        ...     def on_train_batch_end(self, batch, logs=None):
        ...         self.batches += 1
        ...     def get_state(self):
        ...         return {"batches": self.batches}
        ...     def set_state(self, state):
        ...         self.batches = state["batches"]
    """

    model: Any = None
    params: dict[str, Any] = {}  # noqa: RUF012  # replaced, never changed

    def set_model(self, model: Any) -> None:
        """Be told the model; called before training begins."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Be told what ``fit`` was asked for."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Listen to the begin of training."""

    def on_train_end(self, logs: Any = None) -> None:
        """Listen to the end of training."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Listen to the begin of an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Listen to the end of an epoch; ``logs`` has the validation's values too, as ``val_...``."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of a training step, counted from 0 in each epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of a training step; ``logs`` has the averages of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of a training step, by Keras's older name."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of a training step, by Keras's older name."""

    def on_test_begin(self, logs: Any = None) -> None:
        """Listen to the begin of an evaluation."""

    def on_test_end(self, logs: Any = None) -> None:
        """Listen to the end of an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of an evaluation step."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of an evaluation step."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """Listen to the begin of a prediction."""

    def on_predict_end(self, logs: Any = None) -> None:
        """Listen to the end of a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Listen to the begin of a prediction step."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Listen to the end of a prediction step."""

    def on_resume(self, progress: Any) -> None:
        """Listen to the moment before the first step, when all have heard that training begins.

        Args:
            progress: A ``Progress``, whose ``set_state`` lets the training go on from elsewhere.
        """

    def on_progress(self, progress: Any) -> None:
        """Listen to the moments from which a training can go on: after a step, after an epoch, and at the very end.

        All callbacks have heard of the step or epoch by then, and the history has the epoch. It is called as often as
        there are steps: what it does at each of them costs time.

        Args:
            progress: A ``Progress``, which says where the training is and returns its whole state.
        """

    def get_state(self) -> dict[str, Any]:
        """Return what it must know to go on after an interruption, nothing by default.

        That is nested numbers, texts, None, arrays, lists, tuples and dicts; ``BackupAndRestore`` writes it to disk.
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``get_state`` returned, after ``on_train_begin``; it is not called where that was empty.

        In the middle of an epoch, ``on_epoch_begin`` was called for it as well.
        """

    def close(self) -> None:
        """Give back what training holds open; ``fit`` calls it last, even where training ends in an error."""


class CallbackList:
    """Several callbacks as one: calls each in turn, and those of a batch only where a class overrides them.

    Args:
        callbacks: Callbacks, their classes or names.
        model: The model that they listen to.
        params: What ``fit`` was asked for.

    Raises:
        TypeError: One of them is no callback.

    Example:
        >>> greeting = td.callbacks.LambdaCallback(on_train_begin=lambda logs: print("hello"))
        >>> calls = td.callbacks.CallbackList([greeting, "history"], model=None, params={})
        >>> calls("train_begin", {})
        hello
    """

    def __init__(self, callbacks: Sequence[Any], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = [registry.callbacks.get(callback) for callback in callbacks]
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"a callback is an object of a class derived from td.callbacks.Callback, not {callback!r}."
                )
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
        self._listening: dict[str, list[Any]] = {}

    def changes_nothing(self, moment: str) -> bool:
        """Tell whether only callbacks of the package listen at a moment of a step: these change no attribute then."""
        methods = [m for c in self.callbacks for m in _methods(c, moment) if _listens(c, moment)]
        return all((getattr(m, "__module__", None) or "").startswith("tinygrad_dnn.") for m in methods)

    def __call__(self, moment: str, *args: Any) -> None:
        """Call the method ``on_<moment>`` of each."""
        listening = self._listening.get(moment)
        if listening is None:
            listening = self._listening[moment] = [
                getattr(callback, f"on_{moment}") for callback in self.callbacks if _listens(callback, moment)
            ]
        for method in listening:
            method(*args)


def _listens(callback: Callback, moment: str) -> bool:
    """Tell whether a callback does anything at a moment, under its name or, of a step, under the older one."""
    return any(
        getattr(m, "__func__", m) is not getattr(Callback, m.__name__, None) for m in _methods(callback, moment)
    )


def _methods(callback: Callback, moment: str) -> list[Any]:
    names = {f"on_{moment}", f"on_{moment.removeprefix('train_')}"} & set(dir(Callback))
    return [getattr(callback, name) for name in names]


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        on_epoch_begin: Called with (epoch, logs).
        on_epoch_end: Called with (epoch, logs).
        on_train_begin: Called with (logs).
        on_train_end: Called with (logs).
        on_train_batch_begin: Called with (batch, logs).
        on_train_batch_end: Called with (batch, logs).
        **kwargs: Functions for the other moments, by the names of ``Callback``'s methods.

    Raises:
        TypeError: A name is none of a moment, or a function is not callable.

    Example:
        >>> callback = td.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., None] | None = None,
        on_epoch_end: Callable[..., None] | None = None,
        on_train_begin: Callable[..., None] | None = None,
        on_train_end: Callable[..., None] | None = None,
        on_train_batch_begin: Callable[..., None] | None = None,
        on_train_batch_end: Callable[..., None] | None = None,
        **kwargs: Callable[..., None],
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end, **kwargs,
        }  # fmt: skip
        for moment, function in given.items():
            if not moment.startswith("on_") or not hasattr(Callback, moment):
                moments = ", ".join(name for name in dir(Callback) if name.startswith("on_"))
                raise TypeError(f"LambdaCallback: {moment!r} is no moment; choose among {moments}.")
            if function is not None:
                if not callable(function):
                    raise TypeError(f"LambdaCallback: {moment} must be a function, not {function!r}.")
                setattr(self, moment, function)
