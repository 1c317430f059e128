"""Built-in activations in small, for the tests of the registry and the plugin host."""

from tinygrad_dnn.hookspecs import hookimpl


def relu(x):
    return max(x, 0)


def elu(x, alpha=1.0):
    return x if x > 0 else -alpha


class LeakyReLU:
    def __call__(self, x):
        return x


def leaky_relu(x):
    return x


def hard_tanh(x):
    return min(max(x, -1), 1)


@hookimpl
def register_activations(register):
    register(LeakyReLU)
    register(relu, aliases=("rectifier",))
    register(elu)
    register(leaky_relu)
    register(hard_tanh)
