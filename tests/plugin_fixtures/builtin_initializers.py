"""Built-in initializers in small, for the tests of the registry and the plugin host."""

from tinygrad_dnn.hookspecs import hookimpl


class HeNormal:
    def __init__(self, seed=None):
        self.seed = seed

    def __call__(self, shape, dtype=None):
        return (shape, self.seed)

    def get_config(self):
        return {"seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(config.pop("seed", None))


@hookimpl
def register_initializers(register):
    register(HeNormal)
