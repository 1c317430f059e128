"""Built-in optimizers in small, for the tests of the registry and the plugin host."""

from tinygrad_dnn.hookspecs import hookimpl


class SGD:
    def init(self, param):
        return {}

    def update(self, param, grad, state, learning_rate):
        return param, state


@hookimpl
def register_optimizers(register):
    register(SGD)
