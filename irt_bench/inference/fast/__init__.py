"""The fast method: a deterministic approximation of the posterior, refined by Gibbs sweeps where it is small."""
