"""A callback that logs a training to MLflow, as a plugin for tinygrad_dnn."""

import importlib
from numbers import Real

import tinygrad_dnn as td
from tinygrad_dnn import hookimpl


class MLflowLogger(td.callbacks.Callback):
    """Log what ``fit`` was asked for, the optimizer's configuration, and each epoch's values to a run of MLflow.

    Where a run is active the training is logged to it, and it stays active; otherwise the training is a run of its own,
    which ends as FINISHED, or as FAILED where an error or Ctrl-C ended it. MLflow is imported when training begins.

    Args:
        run_name: The name of the training's own run; MLflow makes one up for None.
        experiment: The experiment's name; the active one for None.
        tracking_uri: Where MLflow keeps its runs, as "sqlite:///mlruns.db"; what MLflow is set to for None.
        parameters: Further parameters of the run, by name.

    Raises:
        ImportError: When training begins, MLflow is not installed.

    Example:
        >>> callback = td.registry.callbacks.get("mlflow", run_name="elu, nadam", parameters={"dataset": "cifar10"})
    """

    def __init__(self, run_name=None, experiment=None, tracking_uri=None, parameters=None):
        self.run_name = run_name
        self.experiment = experiment
        self.tracking_uri = tracking_uri
        self.parameters = dict(parameters or {})
        self._mlflow = None
        self._owns_run = False
        self._status = "FAILED"

    def on_train_begin(self, logs=None):
        """Begin a run, unless one is active, and log the parameters."""
        try:
            self._mlflow = importlib.import_module("mlflow")
        except ImportError as error:
            raise ImportError("MLflowLogger needs MLflow: pip install mlflow-skinny, or mlflow.") from error
        if self.tracking_uri is not None:
            self._mlflow.set_tracking_uri(self.tracking_uri)
        if self.experiment is not None:
            self._mlflow.set_experiment(self.experiment)
        self._status = "FAILED"
        self._owns_run = self._mlflow.active_run() is None
        if self._owns_run:
            self._mlflow.start_run(run_name=self.run_name)
        optimizer = self.model.optimizer
        origin = td.registry.optimizers.origin(optimizer)
        said = {"optimizer": f"{origin.name} of {origin.distribution} {origin.version}", "model": self.model.name}
        asked = {name: value for name, value in self.params.items() if name != "verbose"}
        config = {f"optimizer.{name}": value for name, value in optimizer.get_config().items() if value is not None}
        self._mlflow.log_params({**said, **asked, **config, **self.parameters})

    def on_epoch_end(self, epoch, logs=None):
        """Log the epoch's values, and the learning rate of the step to come."""
        values = {"learning_rate": float(self.model.optimizer.learning_rate), **(logs or {})}
        self._mlflow.log_metrics({key: float(v) for key, v in values.items() if isinstance(v, Real)}, step=epoch)

    def on_train_end(self, logs=None):
        """Note that training came to its end."""
        self._status = "FINISHED"

    def close(self):
        """End the training's own run."""
        if self._owns_run:
            self._owns_run = False
            self._mlflow.end_run(self._status)


@hookimpl
def register_callbacks(register):
    """Give ``MLflowLogger`` its name."""
    register(MLflowLogger, name="mlflow")
