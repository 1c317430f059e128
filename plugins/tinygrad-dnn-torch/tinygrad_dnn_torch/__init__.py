"""PyTorch's dialect, as a plugin for tinygrad_dnn: what PyTorch computes otherwise than Keras, under ``torch.`` names.

Arguments keep this project's names (``learning_rate``, ``beta_1``, ``epsilon``) where it has them, so that a change of
dialect is a change of one name; what only PyTorch has keeps PyTorch's (``dampening``, ``lr_decay``). Checked against
torch 2.13.
"""

from tinygrad_dnn import hookimpl
from tinygrad_dnn_torch import activations, callbacks, initializers, layers, optimizers, schedulers


@hookimpl
def register_activations(register):
    """Register the activation whose default differs."""
    register(activations.leaky_relu, name="torch.leaky_relu")


@hookimpl
def register_initializers(register):
    """Register the distributions of ``torch.nn.init``, and those that ``torch.nn.Linear`` begins with."""
    register(initializers.KaimingUniform, name="torch.kaiming_uniform")
    register(initializers.KaimingNormal, name="torch.kaiming_normal")
    register(initializers.XavierUniform, name="torch.xavier_uniform")
    register(initializers.XavierNormal, name="torch.xavier_normal")
    register(initializers.Normal, name="torch.normal")
    register(initializers.Uniform, name="torch.uniform")
    register(initializers.TruncNormal, name="torch.trunc_normal")
    register(initializers.Linear, name="torch.linear")


@hookimpl
def register_optimizers(register):
    """Register ``torch.optim``'s rules."""
    for optimizer in (
        optimizers.SGD, optimizers.Adam, optimizers.AdamW, optimizers.NAdam, optimizers.RAdam, optimizers.Adamax,
        optimizers.RMSprop, optimizers.Adagrad, optimizers.Adadelta,
    ):  # fmt: skip
        register(optimizer, name=f"torch.{optimizer.__name__}")


@hookimpl
def register_schedulers(register):
    """Register the schedules of ``torch.optim.lr_scheduler`` that are not built in by another name."""
    register(schedulers.Step, name="torch.step")
    register(schedulers.MultiStep, name="torch.multi_step")
    register(schedulers.Exponential, name="torch.exponential")
    register(schedulers.CosineAnnealing, name="torch.cosine_annealing")
    register(schedulers.CosineAnnealingWarmRestarts, name="torch.cosine_annealing_warm_restarts")
    register(schedulers.Linear, name="torch.linear")
    register(schedulers.Constant, name="torch.constant")
    register(schedulers.Polynomial, name="torch.polynomial")


@hookimpl
def register_layers(register):
    """Register the layers whose defaults or formulas differ."""
    register(layers.Linear, name="torch.linear")
    register(layers.Conv2d, name="torch.conv2d")
    register(layers.BatchNorm, name="torch.batch_normalization")
    register(layers.LayerNorm, name="torch.layer_normalization")
    register(layers.PReLU, name="torch.prelu")


@hookimpl
def register_callbacks(register):
    """Register the schedule that watches a value."""
    register(callbacks.ReduceLROnPlateau, name="torch.reduce_lr_on_plateau")
