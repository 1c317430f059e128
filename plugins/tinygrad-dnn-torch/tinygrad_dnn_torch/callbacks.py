"""Callbacks that decide otherwise in PyTorch."""

import tinygrad_dnn as td
from tinygrad_dnn.checks import as_choice, as_number


class ReduceLROnPlateau(td.callbacks.ReduceLROnPlateau):
    """Lower the learning rate after more than ``patience`` epochs without an improvement, Keras after as many.

    What counts as an improvement is a part of the best value, 0.01 %, where Keras has a difference of 0.0001.

    Args:
        monitor: The value to watch, a name in the epoch's logs.
        factor: What the learning rate is multiplied by, in (0, 1).
        patience: How many epochs without an improvement are put up with.
        threshold: The least change that counts, at least 0.
        threshold_mode: "rel", a part of the best value, or "abs".
        eps: A learning rate is not lowered by less than this, at least 0.
        **kwargs: ``mode``, ``cooldown``, ``min_lr`` and ``verbose`` of ``td.callbacks.ReduceLROnPlateau``.

    Raises:
        ValueError: An argument is out of its range, or the optimizer has a schedule of its own.

    Example:
        >>> callback = td.registry.callbacks.get("torch.reduce_lr_on_plateau", patience=5)
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        eps=1e-8,
        **kwargs,
    ):
        super().__init__(monitor, factor, patience, min_delta=0.0, **kwargs)
        self.threshold = as_number(threshold, "torch.reduce_lr_on_plateau: threshold", "[0, inf)")
        self.threshold_mode = as_choice(
            threshold_mode, "torch.reduce_lr_on_plateau: threshold_mode", ("rel", "abs")
        )
        self.eps = as_number(eps, "torch.reduce_lr_on_plateau: eps", "[0, inf)")

    def improves(self, value, reference):
        """Tell whether a value is better than another by more than the threshold; any is better than None."""
        if reference is None:
            return True
        rises = super().improves(1.0, 0.0)
        change = self.threshold * reference if self.threshold_mode == "rel" else self.threshold
        return super().improves(value, reference + change if rises else reference - change)

    def on_epoch_end(self, epoch, logs=None):
        """Compare the epoch's value with the best so far."""
        optimizer = self.model.optimizer
        rate = float(optimizer.learning_rate)
        if logs is not None:
            logs["learning_rate"] = rate
        value = self.monitored(logs)
        if value is None:
            return
        self.wait += 1
        if self.improves(value, self.best):
            self.best, self.wait = value, 0
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.wait > self.patience:
            self.cooldown_counter, self.wait = self.cooldown, 0
            lower = max(rate * self.factor, self.min_lr)
            if rate - lower > self.eps:
                optimizer.learning_rate = lower
                if self.verbose:
                    print(f"Epoch {epoch + 1}: the learning rate is lowered from {rate:g} to {lower:g}.")
