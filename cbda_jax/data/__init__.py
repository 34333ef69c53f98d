"""Label spaces, data set builders and input pipelines. Knows files, not models or acquisition."""
