"""The paper's alignment network, beside the direct optimiser of the same loss."""
