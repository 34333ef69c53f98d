"""Label spaces, data set builders and input pipelines. Knows files; knows no model and no acquisition."""
