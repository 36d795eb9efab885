"""Character GANs trained with two time scales: the trainer, the networks, the runs."""
