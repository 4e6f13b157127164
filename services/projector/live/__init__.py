"""The live read model."""
