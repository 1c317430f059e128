"""`python -m tinygrad_dnn` is the command `tinygrad-dnn`."""

from tinygrad_dnn.cli import run

if __name__ == "__main__":
    run()
