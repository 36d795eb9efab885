"""The games of text as most people write them in PyTorch, to compare the speed of training with."""
