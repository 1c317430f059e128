"""The MLflow logger against MLflow itself, which must be installed, with a database: pip install mlflow."""

import mlflow
import numpy as np

import tinygrad_dnn as td


def test_what_mlflow_has_kept(tmp_path):
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    callback = td.registry.callbacks.get("mlflow", run_name="real", experiment="small", tracking_uri=uri)
    model = td.Sequential([td.layers.Dense(1)])
    model.compile("nadam", "mse")
    x = np.random.default_rng(0).standard_normal((32, 3)).astype("float32")
    history = model.fit(x, x[:, :1], epochs=3, validation_split=0.25, verbose=0, callbacks=[callback]).history
    (run,) = mlflow.search_runs(experiment_names=["small"], output_format="list")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "real")
    kept = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert [each.step for each in kept] == [0, 1, 2]
    assert [each.value for each in kept] == history["val_loss"]
    assert run.data.params["optimizer.name"] == "nadam"
    assert mlflow.active_run() is None
