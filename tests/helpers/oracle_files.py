"""Files of small oracles, by the names of SeqGAN's published arrays."""

from pathlib import Path

import numpy as np

from data.oracle import Oracle

GATES = ("i", "f", "og", "c")


def write_oracle(folder: Path, oracle: Oracle) -> Path:
    """Write an oracle's 15 arrays, biases as .npy and matrices as .npz, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    matrices = {"embedding": oracle.embedding, "wo": oracle.output}
    vectors = {"bo": oracle.output_bias}
    for number, gate in enumerate(GATES):
        width = len(oracle.recurrent)
        columns = slice(number * width, (number + 1) * width)
        matrices |= {f"w{gate}": oracle.inputs[:, columns], f"u{gate}": oracle.recurrent[:, columns]}
        vectors[f"b{gate}"] = oracle.bias[columns]
    for name, matrix in matrices.items():
        np.savez(folder / f"{name}.npz", matrix)
    for name, vector in vectors.items():
        np.save(folder / f"{name}.npy", vector)
    return folder
