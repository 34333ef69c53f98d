"""Builders of the data sets, each from the layout in which it is published; folders of your own."""
