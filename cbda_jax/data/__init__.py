"""Data sets, their builders and input pipelines. Knows files and label spaces, not models."""
