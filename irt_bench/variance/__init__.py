"""Seed variance of scores over repeated training: metrics, variance components, and detectable differences."""
