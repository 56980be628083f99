"""t-SNE, run in a process of its own (`representation.tsne` starts it): scikit-learn is imported here and nowhere else."""

import io
from typing import BinaryIO

import numpy as np

PERPLEXITY = 30


def embed(source: BinaryIO, target: BinaryIO, seed: int) -> None:
    """Features (N, D) in NumPy's own format -> points (N, 2)."""
    from sklearn.manifold import TSNE

    features = np.load(io.BytesIO(source.read()))
    perplexity = min(PERPLEXITY, max(1, (len(features) - 1) // 3))
    points = TSNE(n_components=2, init="pca", learning_rate="auto", perplexity=perplexity, random_state=seed).fit_transform(features)
    np.save(target, points.astype(np.float64))
