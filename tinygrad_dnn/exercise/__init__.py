"""The CIFAR-10 exercise, as `tinygrad-dnn exercise` and the script in examples/ run it."""
